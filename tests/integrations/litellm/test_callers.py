"""Who calls, by LiteLLM's word: as much of it as names somebody, and nothing of the key."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from counterseal.errors import Unauthenticated
from counterseal.integrations.litellm.callers import caller_of, is_key_of
from tests.integrations.litellm.opening import key

SECRET = bytes(32)


class Role(Enum):
    ADMIN = "proxy_admin"


def test_what_litellm_says_becomes_fields_and_metadata() -> None:
    auth = key(
        user_email="alice@example.com",
        org_id="o-1",
        agent_id="a-1",
        end_user_id="e-1",
        key_alias="laptop",
        user_role=Role.ADMIN,
        metadata={"tenant": "t-1", "number": 1, "team.tenant": "forged", "litellm.key_alias": "forged"},
        team_metadata={"tenant": "t-2"},
    )
    caller = caller_of(auth, SECRET)
    assert caller.kind == "api_key"
    assert caller.subject == "alice"
    assert (caller.email, caller.team, caller.organisation, caller.agent) == ("alice@example.com", "data", "o-1", "a-1")
    assert "end_user_id" not in caller.fields
    assert caller.metadata == {
        "tenant": "t-1",
        "team.tenant": "t-2",
        "litellm.key_alias": "laptop",
        "litellm.user_role": "proxy_admin",
    }
    assert caller_of(auth, SECRET, trust_end_user=True).fields["end_user_id"] == "e-1"


def test_an_id_is_the_same_for_one_key_in_one_store_and_tells_nothing_of_it() -> None:
    first = caller_of(key(), SECRET).client_id
    assert first == caller_of(key(user_id="bob"), SECRET).client_id
    assert first != caller_of(key(token="1f" * 32), SECRET).client_id
    assert first != caller_of(key(), bytes([1] * 32)).client_id
    assert first.startswith("litellm:")
    assert "0f0f" not in first


def test_a_key_without_a_person_has_no_subject() -> None:
    assert caller_of(key(user_id=None), SECRET).subject is None


@pytest.mark.parametrize(
    "auth",
    [
        None,
        key(token=""),
        key(user_id="anonymous"),
        key(user_id="apikey:x"),
        key(user_id="a\nb"),
        key(team_id="t" * 300),
    ],
)
def test_who_cannot_be_named_is_refused(auth: Any) -> None:
    with pytest.raises(Unauthenticated):
        caller_of(auth, SECRET)
    caller_of(key(), SECRET)


def test_a_bearer_is_litellms_own_key_by_itself_or_by_its_hash() -> None:
    hashed = "2b7e8b3a"
    assert is_key_of(key(token=None, api_key="sk-1"), "sk-1")
    assert not is_key_of(key(token=hashed, api_key=hashed), "sk-1")
    of_it = "f9a9a0d4e1cf"
    assert not is_key_of(key(token=of_it), "a.b.c")
    import hashlib

    assert is_key_of(key(token=hashlib.sha256(b"sk-1").hexdigest()), "sk-1")
    assert not is_key_of(None, "sk-1")
