"""The shapes of call token, held against docs/call-token.md."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.caller import Caller, Channel
from counterseal.core.profiles import COUNTERSEAL, LITELLM, PROFILES
from tests.core.callers import anonymous, key, token

CHANNEL = Channel(issuer="https://channels", subject="line-1", client_id="app")


def test_there_is_ours_and_litellms() -> None:
    assert {name: (row.name, row.typ) for name, row in PROFILES.items()} == {
        "counterseal": ("counterseal", "at+jwt"),
        "litellm": ("litellm", "JWT"),
    }
    assert COUNTERSEAL.fields == ()
    assert LITELLM.fields == ("email", "end_user_id")


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (key(fields={"team_id": "data", "org_id": "acme", "agent_id": "bot"}), {"sub": "data"}),
        (key(fields={"org_id": "acme", "agent_id": "bot"}), {"sub": "acme"}),
        (key(fields={"agent_id": "bot"}), {"sub": "https://gateway"}),
        (token(act={"sub": "inbound"}, fields={"team_id": "data"}), {"sub": "data"}),
        (token(act={"sub": "inbound"}), {"sub": "https://gateway"}),
        (token(channel=CHANNEL, fields={"team_id": "data"}), {"sub": "line-1", "client_id": "app"}),
        (token(channel=Channel(issuer="i", client_id="app")), {"sub": "app", "client_id": "app"}),
        (token(channel=Channel(issuer="i", subject="line-1"), act={"sub": "inbound"}), {"sub": "line-1"}),
        (anonymous(), {"sub": "https://gateway"}),
    ],
)
def test_litellms_actor_is_the_channel_the_team_the_organisation_or_the_issuer(caller: Caller, expected: Any) -> None:
    assert LITELLM.acting(caller, "https://gateway")[0] == expected


@pytest.mark.parametrize(
    ("caller", "kind", "detail"),
    [
        (key(fields={"team_id": "data"}), "key", "team_id"),
        (token(fields={"team_id": "data"}), "claim", "team_id"),
        (token(channel=CHANNEL), "channel", "https://channels"),
        (key(), "configuration", "issuer"),
    ],
)
def test_an_actor_has_an_origin_in_either_shape(caller: Caller, kind: str, detail: str) -> None:
    for profile in PROFILES.values():
        assert profile.acting(caller, "https://gateway")[1:] == (kind, detail)
    assert COUNTERSEAL.acting(token(act={"sub": "a"}), "https://gateway")[1:] == ("claim", "act")
