"""One line of ASCII that says how a call token came about, whatever is in its claims."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.caller import Channel
from counterseal.core.claim_operations import ClaimOperations, Named, Valued
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.debug_header import LONGEST, debug_line
from counterseal.core.frozen import freeze
from counterseal.core.origins import Origin, Origins
from counterseal.core.templates import compile_value
from tests.core.callers import call, key, token

SIGNER = SignerSettings("https://gateway", "https://server", "ES256", 60, ("sub", "user_id"))
_any_text = st.text(st.characters(), max_size=40) | st.text(st.characters(), min_size=300, max_size=900)


def line(caller: Any, signer: SignerSettings = SIGNER) -> dict[str, Any]:
    origins = Origins()
    claims = build_claims(caller, call(name="t"), signer, now=1, jti="J", txn="T", origins=origins)
    read: dict[str, Any] = json.loads(debug_line(signer, "K", claims, caller, origins))
    return read


def test_fr_9_it_says_who_signed_for_whom_and_where_each_claim_is_from() -> None:
    valued = Valued(("tenant",), compile_value("{claim.department}"), "signer.set_claims.tenant (counterseal.yaml:41)")
    operations = ClaimOperations(passed=(Named(("team",)),), set=(valued,))
    caller = token({"department": "data", "team": "t"}, channel=Channel(issuer="https://channels", subject="line-1"))
    said = line(caller, replace(SIGNER, mode="verify_and_resign", operations=operations))
    origins = said.pop("origins")
    assert said == {
        "signer": "counterseal",
        "kid": "K",
        "iss": "https://gateway",
        "sub": "alice",
        "act": {"sub": "line-1"},
        "mode": "verify_and_resign",
        "profile": "counterseal",
        "channel_token": True,
    }
    assert (origins["sub"], origins["team"]) == ("claim sub", "claim team")
    assert origins["tenant"] == "template {claim.department}"
    assert (origins["act"], origins["jti"]) == ("channel https://channels", "gateway random")


def test_a_call_without_a_channel_token_says_so() -> None:
    said = line(key(fields={"user_id": "bob", "agent_id": "planner"}))
    assert (said["channel_token"], said["act"], said["mode"]) == (False, {"sub": "planner"}, "sign")
    assert "cut" not in said


@pytest.mark.parametrize("name", ["jösé@example.com", "李", "\U0001d49clice", "a\u2028b", "x\x7f", 'q"\\'])
def test_s13_any_name_is_told_as_it_is(name: str) -> None:
    """FR-9: LiteLLM's raised UnicodeEncodeError for `jösé`."""
    origins = Origins({("sub",): Origin("claim", name)})
    text = debug_line(SIGNER, "K", {"iss": "i", "sub": name, "act": {"sub": name}}, token(), origins)
    assert re.fullmatch(r"[ -~]+", text)
    said = json.loads(text)
    assert (said["sub"], said["act"], said["origins"]["sub"]) == (name, {"sub": name}, f"claim {name}")


@settings(max_examples=150, deadline=None)
@given(
    _any_text,
    _any_text,
    st.dictionaries(st.text(st.characters(), max_size=8), _any_text, max_size=4),
    st.lists(st.tuples(st.lists(_any_text, min_size=1, max_size=2).map(tuple), _any_text), max_size=30),
)
def test_fr_9_any_claim_values_make_one_line_of_a_header(
    sub: str, iss: str, act: dict[str, str], pairs: list[Any]
) -> None:
    """Half a surrogate pair too, which no UTF-8 holds."""
    origins = Origins({path: Origin("template", detail) for path, detail in pairs})
    text = debug_line(SIGNER, "K", {"iss": iss, "sub": sub, "act": {"sub": sub, **act}}, token(), origins)
    assert re.fullmatch(r"[ -~]+", text)
    assert len(text) <= LONGEST
    said = json.loads(text)
    whole = (said["sub"], said["iss"]) == (sub, iss)
    assert whole or {"sub", "iss"} & {*said["cut"]}


def test_what_is_too_long_is_cut_and_named() -> None:
    """S13: at most 2 KiB."""
    act = freeze({"sub": "a" * 255, "act": {"sub": "b" * 255}})
    valued = tuple(Valued((f"claim{index}",), compile_value("{claim.x|" + "y" * 200 + "}")) for index in range(20))
    said = line(token({"sub": "s" * 200}, act=act), replace(SIGNER, operations=ClaimOperations(set=valued)))
    assert said["cut"] == ["act", "origins"]
    assert said["sub"] == "s" * 200
    assert said["act"]["sub"].endswith("a...")
    assert "act" not in said["act"]
    assert said["origins"]["claim0"].endswith("y...")
    assert "claim19" not in said["origins"]
    wide = line(token({"sub": "é" * 200}))
    assert wide["cut"] == ["sub"]
    assert re.fullmatch(r"é{40,}\.\.\.", wide["sub"])
