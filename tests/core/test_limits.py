"""The table of ceilings."""

from __future__ import annotations

import dataclasses

import pytest

from counterseal.core.limits import LIMITS, Limits


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("header_bytes", 32 * 1024),
        ("header_count", 100),
        ("header_value_bytes", 8 * 1024),
        ("body_bytes", 4 * 1024 * 1024),
        ("json_depth", 64),
        ("json_members", 100_000),
        ("token_bytes", 8 * 1024),
        ("token_json_depth", 16),
        ("token_json_members", 256),
        ("token_string_bytes", 4 * 1024),
        ("verified_kept_seconds", 60),
        ("verified_kept_count", 10_000),
        ("discovery_bytes", 64 * 1024),
        ("jwks_bytes", 256 * 1024),
        ("jwks_keys", 100),
        ("fetch_connect_seconds", 2),
        ("fetch_seconds", 5),
        ("refetch_cooldown_seconds", 30),
        ("keys_stale_seconds", 3600),
        ("introspection_bytes", 64 * 1024),
        ("introspection_count", 32),
        ("introspection_kept_seconds", 60),
        ("introspection_refused_seconds", 5),
        ("introspection_kept_count", 10_000),
        ("call_token_bytes", 6 * 1024),
        ("server_connect_seconds", 5),
        ("server_idle_seconds", 60),
        ("server_total_seconds", 300),
        ("server_answer_bytes", 16 * 1024 * 1024),
        ("server_events", 100_000),
        ("own_session_count", 1024),
        ("own_session_idle_seconds", 600),
        ("process_start_seconds", 60),
        ("process_grace_seconds", 2),
        ("process_back_off_seconds", 60),
        ("sse_session_count", 256),
        ("sse_idle_seconds", 600),
        ("server_unread_bytes", 1024 * 1024),
        ("audit_seconds", 1),
    ],
)
def test_the_defaults_are_the_published_ones(name: str, value: float) -> None:
    """docs/limits.md."""
    assert getattr(LIMITS, name) == value


def test_every_ceiling_is_a_positive_number_with_its_unit_in_its_name() -> None:
    units = (
        "bytes",
        "count",
        "seconds",
        "depth",
        "members",
        "messages",
        "keys",
        "events",
        "per_caller",
        "per_worker",
        "per_server",
    )
    for limit in dataclasses.fields(Limits):
        assert getattr(LIMITS, limit.name) > 0
        assert limit.name.endswith(units), limit.name


def test_nobody_changes_a_ceiling_while_the_gateway_runs() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LIMITS.body_bytes = 1  # type: ignore[misc]
