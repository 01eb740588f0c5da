"""The table of methods against the official SDK's models of every revision."""

from __future__ import annotations

import pytest
from mcp.shared.inbound import NAME_BEARING_METHODS
from mcp_types import methods as official

from counterseal.core.methods import END_SESSION, LEGACY, METHODS, MODERN, REPLY, STREAM, SUPPORTED, Kind

PSEUDO = {STREAM, END_SESSION, REPLY}
TASKS = {"tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update"}
"""An extension in the newest revision, which the SDK's models leave out; experimental in 2025-11-25, and not carried there."""
EXTENSION = {"tasks/get", "tasks/update", "tasks/cancel"}


@pytest.mark.parametrize("revision", SUPPORTED)
def test_the_requests_are_those_of_the_revision(revision: str) -> None:
    theirs = {method for method, version in official.CLIENT_REQUESTS if version == revision} - TASKS
    ours = {row.name for row in METHODS.values() if (row.modern if revision == MODERN else row.legacy)}
    assert {name for name in ours - PSEUDO - EXTENSION if not METHODS[name].notification} == theirs
    assert (ours >= EXTENSION) is (revision == MODERN)


@pytest.mark.parametrize("revision", LEGACY)
def test_the_notifications_are_those_of_the_revision(revision: str) -> None:
    theirs = {method for method, version in official.CLIENT_NOTIFICATIONS if version == revision}
    assert {row.name for row in METHODS.values() if row.notification} == {m for m in theirs if "/tasks" not in m}


def test_the_newest_revision_has_no_notification_that_is_carried() -> None:
    assert not [row for row in METHODS.values() if row.notification and row.modern]


def test_the_mirrored_names_are_those_of_the_protocol() -> None:
    """M-01."""
    ours = {row.name: row.name_field for row in METHODS.values() if row.modern and row.name_field is not None}
    assert ours == dict(NAME_BEARING_METHODS) | dict.fromkeys(EXTENSION, "taskId")


def test_no_method_of_the_protocol_can_be_one_of_ours() -> None:
    assert all(name.startswith("io.counterseal/") for name in PSEUDO)
    assert not [name for name, _ in official.CLIENT_REQUESTS if name.startswith("io.")]


def test_only_what_acts_or_reads_one_thing_is_not_open() -> None:
    """M-23: everything that names a thing, or reveals one, is decided about as such."""
    closed = {row.name: row.kind for row in METHODS.values() if row.kind is not Kind.OPEN}
    assert closed == {
        "tools/call": Kind.TOOL,
        "prompts/get": Kind.ITEM,
        "resources/read": Kind.ITEM,
        "resources/subscribe": Kind.ITEM,
        "resources/unsubscribe": Kind.ITEM,
        "completion/complete": Kind.ITEM,
        **dict.fromkeys(EXTENSION, Kind.TASK),
    }
    assert not [row for row in METHODS.values() if row.name_field is not None and row.kind is Kind.OPEN]


def test_a_list_is_filtered_by_the_method_that_uses_its_items() -> None:
    """S-08."""
    for row in METHODS.values():
        if row.lists is not None:
            _, use, field = row.lists
            assert METHODS[use].kind is not Kind.OPEN
            assert field in (METHODS[use].name_field, "uriTemplate")
        assert (row.lists is not None) is row.name.endswith("/list")


def test_arguments_are_bound_where_the_protocol_has_them() -> None:
    assert {row.name for row in METHODS.values() if row.arguments} == {"tools/call", "prompts/get"}
