"""Channel tokens: verified or not there at all, and never a way around a check that the access token has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller, Channel
from counterseal.core.limits import LIMITS
from counterseal.errors import BadCall, CannotTell
from counterseal.identity.channel import ChannelRules, Channels
from tests.identity.channels import ALICE, CHANNELS, claims, inbound, rules
from tests.identity.issuers import CALLED, CORP, OURS, HeldKeys
from tests.support.tokens import ABSENT, NOW, FixedClock, jwks, private_key, token


async def through(
    asked: Inbound, taken: ChannelRules | None = None, now: float = NOW, caller: Caller = ALICE
) -> Caller:
    channels = Channels({"weather": taken or rules()}, OURS, FixedClock(now), LIMITS)
    return await channels.through(caller, asked)


async def refusal(asked: Inbound, taken: ChannelRules | None = None, now: float = NOW) -> str:
    """The detail of a refusal, once it looks to the caller like any other."""
    with pytest.raises(BadCall) as refused:
        await through(asked, taken, now)
    error = refused.value
    assert (error.reason.code, error.reason.status) == ("channel_token_invalid", 403)
    assert error.message == "the channel token was not accepted"
    assert error.detail
    return error.detail.removeprefix("channel token: ")


# ---- what a good one says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "channel"),
    [
        ({}, Channel(issuer=CHANNELS, subject="line-1", client_id="app")),
        ({"client_id": ABSENT}, Channel(issuer=CHANNELS, subject="line-1")),
        ({"sub": ABSENT}, Channel(issuer=CHANNELS, client_id="app")),
        ({"sub": ABSENT, "client_id": ABSENT, "azp": "app"}, Channel(issuer=CHANNELS, client_id="app")),
    ],
)
async def test_a_good_token_says_through_which_channel_the_caller_came(
    changes: dict[str, Any], channel: Channel
) -> None:
    caller = await through(inbound(token(claims(**changes))))
    assert caller.channel == channel
    assert (caller.client_id, caller.subject, caller.fields) == (ALICE.client_id, ALICE.subject, ALICE.fields)


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
async def test_a_token_is_bare_or_a_bearer(scheme: str) -> None:
    assert (await through(inbound(scheme + token(claims())))).channel is not None


async def test_nothing_else_of_it_becomes_anything_of_the_caller() -> None:
    """I-07, I-11: it is about the channel, and says nothing about the subject."""
    more = {
        "email": "x@y",
        "email_verified": True,
        "roles": ["admin"],
        "scope": "all",
        "act": {"sub": "x"},
        "may_act": {},
    }
    caller = await through(inbound(token(claims(**more))))
    assert caller == await through(inbound(token(claims())))
    assert (caller.act, caller.may_act, caller.roles, caller.scopes, caller.email) == (None, None, (), (), None)


async def test_what_both_opened_ends_with_the_first_of_the_two_credentials() -> None:
    sent = inbound(token(claims(exp=NOW + 60)))
    for of_the_caller, end in ((None, NOW + 60), (NOW + 90, NOW + 60), (NOW + 30, NOW + 30)):
        caller = replace(ALICE, expires=of_the_caller)
        channels = Channels({"weather": rules()}, OURS, FixedClock(NOW), LIMITS)
        for _ in ("verified", "remembered"):
            assert (await channels.through(caller, sent)).expires == end


async def test_a_caller_without_one_is_as_before() -> None:
    assert await through(inbound()) is ALICE
    assert await through(inbound(token(claims()), server="files")) is ALICE


# ---- what a bad one is told -------------------------------------------------------------------------------------------


async def test_i_11_a_missing_one_is_refused_where_it_is_asked_for() -> None:
    with pytest.raises(BadCall) as refused:
        await through(inbound(), rules(required=True))
    assert (refused.value.reason.code, refused.value.reason.status) == ("channel_token_missing", 403)
    assert "x-channel-token" in refused.value.message
    assert (await through(inbound(token(claims())), rules(required=True))).channel is not None


@pytest.mark.parametrize("required", [False, True])
async def test_i_11_a_bad_one_is_refused_whether_it_was_asked_for_or_not(required: bool) -> None:
    """No silent fallback."""
    await refusal(inbound(token(claims(aud="other"))), rules(required=required))


async def test_i_11_two_are_none() -> None:
    good = token(claims())
    with pytest.raises(BadCall) as refused:
        await through(inbound(good, good))
    assert (refused.value.reason.code, refused.value.reason.status) == ("bad_header", 400)


BAD: dict[str, tuple[str, Callable[[], str | bytes]]] = {
    "nothing": ("malformed", lambda: b""),
    "no token": ("malformed", lambda: b"line-1"),
    "two in one": ("malformed", lambda: f"{token(claims())},{token(claims())}"),
    "a space": ("malformed", lambda: f"{token(claims())} "),
    "basic": ("malformed", lambda: f"Basic {token(claims())}"),
    "five parts": ("malformed", lambda: b"a.b.c.d.e"),
    "too long": ("malformed", lambda: b"a" * 9000),
    "wrong key": ("signature", lambda: token(claims(), key=private_key("ES256", "mallory"))),
    "unsigned": ("malformed", lambda: token(claims()).rpartition(".")[0] + "."),
    "none": ("algorithm", lambda: token(claims(), header={"alg": "none"})),
    "another algorithm": ("algorithm", lambda: token(claims(), "RS256")),
    "unknown kid": ("key_unknown", lambda: token(claims(), header={"kid": "made-up"})),
    "our own": ("issuer", lambda: token(claims(iss=OURS))),
    "another issuer": ("issuer", lambda: token(claims(iss=CORP))),
    "an issuer with a slash": ("issuer", lambda: token(claims(iss=CHANNELS + "/"))),
    "no issuer": ("issuer", lambda: token(claims(iss=ABSENT))),
    "another audience": ("audience", lambda: token(claims(aud=f"{OURS}/mcp/files"))),
    "no audience": ("audience", lambda: token(claims(aud=ABSENT))),
    "over": ("expired", lambda: token(claims(iat=NOW - 99, nbf=NOW - 99, exp=NOW - 30))),
    "not yet": ("not_yet_valid", lambda: token(claims(nbf=NOW + 31, exp=NOW + 60))),
    "without an end": ("time", lambda: token(claims(exp=ABSENT))),
    "an ID token": ("typ", lambda: token(claims(at_hash="x"))),
    "a logout token": ("typ", lambda: token(claims(), header={"typ": "logout+jwt"})),
    "a security event": ("typ", lambda: token(claims(events={}))),
    "bound to a key": ("confirmation", lambda: token(claims(cnf={"jkt": "x"}))),
    "nobody": ("subject", lambda: token(claims(sub=ABSENT, client_id=ABSENT))),
    "an empty name": ("subject", lambda: token(claims(sub=""))),
    "a list": ("subject", lambda: token(claims(sub=["line-1"]))),
    "a line break": ("subject", lambda: token(claims(sub="a\r\nb"))),
    "an unseen client": ("malformed", lambda: token(claims(client_id="a\u202eb"))),
    "an API key by its name": ("subject", lambda: token(claims(sub="apikey:k1"))),
    "a client like an API key": ("subject", lambda: token(claims(client_id="apikey:k1"))),
    "nobody in particular": ("subject", lambda: token(claims(sub="anonymous"))),
    "the gateway itself": ("subject", lambda: token(claims(sub=OURS))),
    "twice": ("malformed", lambda: token(b'{"iss":"%s","sub":"a","sub":"b"}' % CHANNELS.encode())),
}


@pytest.mark.parametrize(("code", "bad"), BAD.values(), ids=BAD.keys())
async def test_i_11_j_30_a_bad_one_is_refused_with_one_text_and_the_record_gets_the_cause(
    code: str, bad: Callable[[], str | bytes]
) -> None:
    assert (await refusal(inbound(bad()))).startswith(code)


async def test_a_bad_one_is_quoted_nowhere() -> None:
    for change in ({"iss": "https://c4n4ry"}, {"aud": "c4n4ry"}, {"sub": "c4n4ry\n"}, {"exp": "c4n4ry"}):
        assert "c4n4ry" not in await refusal(inbound(token(claims(**change))))


async def test_k_08_where_the_keys_cannot_be_had_nobody_can_tell() -> None:
    with pytest.raises(CannotTell) as told:
        await through(inbound(token(claims())), rules(keys=HeldKeys(None)))
    assert told.value.reason.status == 503
    await refusal(inbound(b"a.b.c"), rules(keys=HeldKeys(None)))


async def test_a_configured_audience_takes_the_place_of_the_address() -> None:
    api = rules(audience="api://gateway")
    assert (await through(inbound(token(claims(aud="api://gateway"))), api)).channel is not None
    assert (await refusal(inbound(token(claims())), api)).startswith("audience")


# ---- nobody verifies it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [(token(claims()),), (b"\xff\x00 not a token",), ("a", "b"), (b"",)])
async def test_s7_with_nobody_to_verify_it_a_token_is_not_looked_at(sent: tuple[Any, ...]) -> None:
    """Whatever it holds: the only trace is that one was ignored."""
    nobody = rules(trusted=None)
    caller = await through(inbound(*sent), nobody)
    assert (caller.channel, caller.channel_ignored) == (None, True)
    assert caller.fingerprint() == ALICE.fingerprint()
    assert await through(inbound(), nobody) is ALICE


async def test_each_server_has_a_header_of_its_own() -> None:
    other = rules(header=b"x-line")
    assert (await through(inbound(token(claims()), name=b"x-line"), other)).channel is not None
    assert await through(inbound(token(claims())), other) is ALICE


# ---- how often it is looked at -----------------------------------------------------------------------------------------


async def test_s1_a_thousand_calls_through_one_channel_ask_for_its_key_once() -> None:
    keys = HeldKeys(jwks("ES256"))
    channels = Channels({"weather": rules(keys=keys)}, OURS, FixedClock(), LIMITS)
    asked = inbound(token(claims()))
    for _ in range(1000):
        assert (await channels.through(ALICE, asked)).channel is not None
    assert keys.asked == 1
    keys.change(jwks("RS256"))
    with pytest.raises(BadCall):
        await channels.through(ALICE, asked)


async def test_j_28_what_was_remembered_of_one_token_is_not_said_of_another() -> None:
    channels = Channels({"weather": rules()}, OURS, FixedClock(), LIMITS)
    lines = {name: inbound(token(claims(sub=name))) for name in ("line-1", "line-2")}
    for _ in range(3):
        for name, asked in lines.items():
            caller = await channels.through(ALICE, asked)
            assert caller.channel is not None
            assert caller.channel.subject == name


async def test_j_17_what_was_remembered_at_one_server_is_not_said_at_another() -> None:
    strict, loose = rules(), rules(audience=CALLED)
    channels = Channels({"weather": strict, "files": strict, "other": loose}, OURS, FixedClock(), LIMITS)
    presented = token(claims())
    assert (await channels.through(ALICE, inbound(presented))).channel is not None
    with pytest.raises(BadCall):
        await channels.through(ALICE, inbound(presented, server="files"))
    assert (await channels.through(ALICE, inbound(presented, server="other"))).channel is not None
