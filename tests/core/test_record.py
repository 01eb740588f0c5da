"""What a call leaves behind says who, what and why, and holds nothing that could be used again."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from counterseal.core import record
from counterseal.core.caller import Caller, Channel
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.permit import Allowed, Permit
from counterseal.errors import REASONS
from tests.core.callers import anonymous, call, inbound, key, token

SIGNER = SignerSettings("https://gateway", "https://server", "ES256", 60, ("sub",))
REQUEST = inbound(b'{"arguments":"SECRET"}', (b"authorization", b"Bearer SECRET"), (b"cookie", b"SECRET"))
WHO = {"kind": "token", "client_id": "ide", "issuer": "https://idp", "subject": "alice"}


def permit() -> Permit:
    caller = token({"groups": "SECRET"}, metadata={"m": "SECRET"}, fields={"email": "SECRET"})
    asked = call(name="get_weather", arguments={"a": "SECRET"}, message={"params": "SECRET"})
    claims = build_claims(caller, asked, SIGNER, now=100, jti="J", txn="T")
    return Permit(
        caller=caller,
        call=asked,
        allowed=Allowed("policy[3]"),
        claims=claims,
        kid="K",
        algorithm="ES256",
        token="SECRET",
    )


def test_an_intent_holds_what_the_token_says_and_no_token() -> None:
    """U-06, U-08: the arguments only as the keyed digest that was given."""
    entry = record.intent("rec_1", REQUEST, permit(), "mac")
    assert entry == {
        "event": "intent",
        "record": "rec_1",
        "server": "weather",
        "method": "tools/call",
        "name": "get_weather",
        "era": "modern",
        "caller": WHO,
        "peer": "192.0.2.7",
        "channel_token": None,
        "rule": "policy[3]",
        "hooks": [],
        "sub": "alice",
        "sub_of": None,
        "mixed_scripts": None,
        "act": {"sub": "https://gateway"},
        "aud": "https://server",
        "scope": "mcp:tools/call:get_weather",
        "jti": "J",
        "txn": "T",
        "exp": 160,
        "beside": [],
        "passes_on": False,
        "kid": "K",
        "alg": "ES256",
        "arguments": "mac",
    }
    digest = permit().claims["authorization_details"][0]["arguments_digest"]
    assert digest.removeprefix("sha-256:") not in json.dumps(entry)


def test_an_intent_names_the_headers_that_go_on_and_holds_none_of_their_values() -> None:
    sent = msgspec.structs.replace(permit(), forwarded=(("X-Tenant-Id", "acme"), ("X-Case", "acme")))
    entry = record.intent("rec_1", REQUEST, sent, "mac")
    assert entry == {**record.intent("rec_1", REQUEST, permit(), "mac"), "forwarded": ["X-Tenant-Id", "X-Case"]}
    assert "acme" not in json.dumps(entry) + repr(sent)


@pytest.mark.parametrize(
    ("caller", "who"),
    [
        (None, None),
        (token(), WHO),
        (key(), {"kind": "api_key", "client_id": "k123", "issuer": None, "subject": None}),
        (anonymous(), {"kind": "anonymous", "client_id": "anonymous", "issuer": None, "subject": None}),
    ],
)
def test_a_refusal_says_who_was_refused_what_and_why_as_far_as_that_is_known(caller: Caller | None, who: Any) -> None:
    """U-07."""
    reason = REASONS["policy_denied"]
    entry = record.refusal("rec_1", REQUEST, caller, call(name="a"), reason, detail="why", rule="policy[0]")
    assert entry == {
        "event": "refusal",
        "record": "rec_1",
        "server": "weather",
        "method": "tools/call",
        "name": "a",
        "era": "modern",
        "caller": who,
        "peer": "192.0.2.7",
        "channel_token": None,
        "reason": "policy_denied",
        "status": 403,
        "detail": "why",
        "rule": "policy[0]",
    }
    unread = record.refusal("rec_1", REQUEST, caller, None, reason, detail=None, rule=None)
    assert unread.keys() == entry.keys()
    assert (unread["server"], unread["method"], unread["name"], unread["era"]) == ("weather", None, None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"channel": Channel(issuer="https://channels", subject="line-1")}, "verified"),
        ({"channel_ignored": True}, "ignored"),
    ],
)
def test_s7_an_entry_says_what_became_of_a_channel_token(changes: dict[str, Any], said: str | None) -> None:
    caller = key(**changes)
    made = msgspec.structs.replace(permit(), caller=caller)
    assert record.intent("rec_1", REQUEST, made, None)["channel_token"] == said
    reason = REASONS["policy_denied"]
    assert record.refusal("r", REQUEST, caller, None, reason, detail=None, rule=None)["channel_token"] == said


def test_i_14_an_entry_says_so_where_a_subject_mixes_alphabets_that_look_alike() -> None:
    def flagged(subject: str) -> Any:
        made = permit()
        return record.intent("r", REQUEST, msgspec.structs.replace(made, claims={**made.claims, "sub": subject}), None)[
            "mixed_scripts"
        ]

    assert flagged("admin") is None
    assert flagged("\N{CYRILLIC SMALL LETTER A}dmin") == ["CYRILLIC", "LATIN"]


def test_a_gather_says_who_asked_what_of_several_servers_and_has_no_token() -> None:
    asked = call(server="", method="tools/list", name=None, arguments=None, message={"params": "SECRET"})
    entry = record.gather("rec_1", REQUEST, permit().caller, asked)
    assert entry == {
        "event": "gather",
        "record": "rec_1",
        "server": "",
        "method": "tools/list",
        "name": None,
        "era": "modern",
        "caller": WHO,
        "peer": "192.0.2.7",
        "channel_token": None,
    }


def test_what_belongs_to_a_gather_leads_to_it_and_nothing_else_does() -> None:
    assert record.intent("rec_2", REQUEST, permit(), None, "rec_1")["part_of"] == "rec_1"
    reason = REASONS["policy_denied"]
    assert record.refusal("rec_2", REQUEST, None, None, reason, part_of="rec_1")["part_of"] == "rec_1"
    assert "part_of" not in record.intent("rec_2", REQUEST, permit(), None)
    assert "part_of" not in record.refusal("rec_2", REQUEST, None, None, reason)


@pytest.mark.parametrize("how", ["answered", "error", "aborted", "failed", "unknown"])
def test_an_outcome_belongs_to_its_intent(how: record.Outcome) -> None:
    entry = record.outcome("rec_1", how, status=200, reason=None, detail=None, size=12, seconds=0.12345678)
    assert entry == {
        "event": "outcome",
        "record": "rec_1",
        "outcome": how,
        "status": 200,
        "reason": None,
        "detail": None,
        "bytes": 12,
        "seconds": 0.123457,
    }


def test_an_intent_names_the_hooks_that_changed_the_call_and_says_nothing_of_what_they_did() -> None:
    made = msgspec.structs.replace(permit(), hooks=("mask", "departments"), headers=(("X-A", "SECRET"),))
    entry = record.intent("rec_1", REQUEST, made, None)
    assert entry["hooks"] == ["mask", "departments"]
    assert "SECRET" not in json.dumps(entry)


def test_no_entry_holds_a_credential_or_an_argument() -> None:
    """U-06."""
    made = permit()
    for entry in (
        record.intent("rec_1", REQUEST, made, None),
        record.refusal("rec_1", REQUEST, made.caller, made.call, REASONS["policy_denied"], detail=None, rule=None),
        record.refusal("rec_1", REQUEST, None, None, REASONS["parse_error"], detail=None, rule=None),
    ):
        assert "SECRET" not in json.dumps(entry)
