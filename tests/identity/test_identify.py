"""Who is calling: the authenticators in their order, and anonymous only where nothing was sent and a line allows it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.core.patterns import Patterns
from counterseal.errors import BadCall, CallError, CannotTell, Unauthenticated
from counterseal.identity.accept import InsufficientScope
from counterseal.identity.channel import Channels
from counterseal.identity.credentials import REFUSED
from counterseal.identity.identify import ANONYMOUS, Identify
from tests.identity.channels import claims, rules
from tests.support.tokens import FixedClock, token

ISSUER = "https://gateway.example.com"
ALICE = Caller(kind="api_key", client_id="k1", subject="alice")
BOB = Caller(kind="token", client_id="ide", issuer="https://idp", subject="bob", claims={"sub": "bob"})


class Knows:
    """An authenticator with one answer; keeps what it was asked."""

    def __init__(self, answer: Caller | CallError | None) -> None:
        self._answer = answer
        self.asked: list[bytes] = []

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        self.asked.append(presented)
        if isinstance(self._answer, CallError):
            raise self._answer
        return self._answer


def inbound(*headers: tuple[bytes, bytes], server: str = "weather") -> Inbound:
    return Inbound("POST", server, headers, b"", "192.0.2.7")


def with_key(server: str = "weather") -> Inbound:
    return inbound((b"x-api-key", b"abc"), server=server)


def identify(*authenticators: Knows, anonymous: bool = False) -> Identify:
    return Identify(authenticators, anonymous=anonymous, issuer=ISSUER)


async def test_the_first_authenticator_that_knows_the_credential_says_who_it_is() -> None:
    first, second, third = Knows(None), Knows(ALICE), Knows(BOB)
    assert await identify(first, second, third)(with_key()) is ALICE
    assert (first.asked, second.asked, third.asked) == ([b"abc"], [b"abc"], [])


@pytest.mark.parametrize("anonymous", [False, True])
async def test_what_one_authenticator_refuses_no_other_is_asked_about(anonymous: bool) -> None:
    second = Knows(BOB)
    with pytest.raises(Unauthenticated):
        await identify(Knows(Unauthenticated("credential_invalid", REFUSED)), second, anonymous=anonymous)(with_key())
    assert second.asked == []


async def test_anonymous_is_a_caller_of_its_own_where_nothing_was_sent_and_a_line_allows_it() -> None:
    assert await identify(Knows(None), anonymous=True)(inbound()) is ANONYMOUS
    assert ANONYMOUS.kind == "anonymous"
    with pytest.raises(Unauthenticated) as refused:
        await identify(Knows(None))(inbound())
    assert refused.value.reason.code == "credential_missing"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-api-key", b"nobody-knows-this")],
        [(b"authorization", b"Bearer nobody-knows-this")],
        [(b"authorization", b"Basic YTpi")],
        [(b"authorization", b"")],
        [(b"x-api-key", b"")],
        [(b"authorization", b"Bearer anonymous")],
    ],
)
async def test_a_bad_credential_never_falls_back_to_anonymous(headers: list[tuple[bytes, bytes]]) -> None:
    """Invariant 3."""
    allowing = identify(Knows(None), anonymous=True)
    with pytest.raises(Unauthenticated) as refused:
        await allowing(inbound(*headers))
    assert (refused.value.reason.code, refused.value.message) == ("credential_invalid", REFUSED)
    assert await allowing(inbound()) is ANONYMOUS


async def test_two_credentials_never_fall_back_to_anonymous() -> None:
    with pytest.raises(BadCall):
        await identify(Knows(None), anonymous=True)(inbound((b"x-api-key", b"a"), (b"x-api-key", b"a")))


@pytest.mark.parametrize("anonymous", [False, True])
async def test_what_cannot_be_told_is_503_and_neither_401_nor_anonymous(anonymous: bool) -> None:
    """A-07, invariant 4."""
    down = Knows(CannotTell("store_unavailable", "the store cannot be read"))
    with pytest.raises(CannotTell) as refused:
        await identify(down, Knows(BOB), anonymous=anonymous)(with_key())
    assert refused.value.reason.status == 503
    assert refused.value.headers == ()


async def test_an_authenticator_that_breaks_lets_nobody_in() -> None:
    class Broken(Knows):
        async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
            raise ValueError("a defect")

    with pytest.raises(ValueError):
        await identify(Broken(None), Knows(BOB), anonymous=True)(with_key())


async def test_no_authenticator_at_all_knows_nobody() -> None:
    with pytest.raises(Unauthenticated):
        await identify()(with_key())


@pytest.mark.parametrize(
    ("sent", "challenged"),
    [
        (inbound(), 'Bearer resource_metadata="{issuer}/.well-known/oauth-protected-resource/mcp/weather"'),
        (
            with_key(),
            'Bearer resource_metadata="{issuer}/.well-known/oauth-protected-resource/mcp/weather", error="invalid_token"',
        ),
        (inbound(server=""), 'Bearer resource_metadata="{issuer}/.well-known/oauth-protected-resource/mcp"'),
    ],
    ids=["nothing sent", "a bad one sent", "all servers"],
)
async def test_a_401_says_where_to_get_a_token_and_invalid_token_only_if_one_was_sent(
    sent: Inbound, challenged: str
) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await identify(Knows(None))(sent)
    assert refused.value.headers == ((b"www-authenticate", challenged.format(issuer=ISSUER).encode()),)


async def test_a_401_names_the_scopes_that_a_token_needs() -> None:
    needing = Identify([Knows(None)], anonymous=False, issuer=ISSUER, scopes=("mcp", "mcp:read"))
    for sent in (inbound(), with_key()):
        with pytest.raises(Unauthenticated) as refused:
            await needing(sent)
        (header,) = refused.value.headers
        assert b'scope="mcp mcp:read"' in header[1]


def test_scopes_that_no_header_can_hold_keep_the_gateway_from_starting() -> None:
    with pytest.raises(ValueError):
        Identify([], anonymous=False, issuer=ISSUER, scopes=('mcp"',))
    Identify([], anonymous=False, issuer=ISSUER, scopes=("mcp",))


# ---- who else speaks for the call --------------------------------------------------------------------------------------


def channels(**changes: Any) -> Channels:
    return Channels({"weather": rules(**changes)}, ISSUER, FixedClock(), LIMITS)


def with_channel(*tokens: str, key: bytes | None = b"abc") -> Inbound:
    sent = [] if key is None else [(b"x-api-key", key)]
    return inbound(*sent, *((b"x-channel-token", one.encode()) for one in tokens))


async def test_the_channel_is_looked_at_once_the_caller_is_known() -> None:
    """A bad credential stays a 401, whatever else was sent."""
    bad = Knows(Unauthenticated("credential_invalid", REFUSED))
    for sent in (with_channel(token(claims())), with_channel("bad"), with_channel("a", "b")):
        with pytest.raises(Unauthenticated):
            await Identify([bad], anonymous=True, issuer=ISSUER, channels=channels())(sent)
    caller = await Identify([Knows(ALICE)], anonymous=False, issuer=ISSUER, channels=channels())(
        with_channel(token(claims()))
    )
    assert caller.channel is not None
    assert (caller.kind, caller.client_id) == ("api_key", "k1")


async def test_an_anonymous_caller_may_have_come_through_a_channel() -> None:
    who = Identify([], anonymous=True, issuer=ISSUER, channels=channels(required=True))
    assert (await who(with_channel(token(claims()), key=None))).channel is not None
    with pytest.raises(BadCall):
        await who(with_channel(key=None))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (with_channel(), "channel_token_missing"),
        (with_channel("a.b.c"), "channel_token_invalid"),
        (with_channel("a", "b"), "bad_header"),
    ],
)
async def test_u_07_who_was_refused_because_of_a_channel_is_in_the_error(sent: Inbound, reason: str) -> None:
    who = Identify([Knows(ALICE)], anonymous=False, issuer=ISSUER, channels=channels(required=True))
    with pytest.raises(CallError) as refused:
        await who(sent)
    assert (refused.value.reason.code, refused.value.caller) == (reason, ALICE)
    assert refused.value.headers == ()  # no more scope and no other credential would help


MAY = {"sub": "line-1", "iss": "https://channels.example.com", "client_id": "app"}


@pytest.mark.parametrize("may_act", [None, MAY, {"sub": "line-1"}])
async def test_who_acts_is_whom_the_token_names(may_act: Any) -> None:
    """RFC 8693 section 4.4."""
    caller = dataclasses.replace(BOB, may_act=may_act)
    who = Identify([Knows(caller)], anonymous=False, issuer=ISSUER, channels=channels())
    assert (await who(with_channel(token(claims())))).channel is not None
    if may_act is None:
        return
    with pytest.raises(BadCall) as refused:  # the same caller without the channel: the gateway itself acts
        await who(with_channel())
    assert (refused.value.reason.code, refused.value.reason.status) == ("actor_refused", 403)


@pytest.mark.parametrize("member", MAY)
async def test_somebody_else_acts_and_is_refused(member: str) -> None:
    caller = dataclasses.replace(BOB, may_act={**MAY, member: "somebody"})
    who = Identify([Knows(caller)], anonymous=False, issuer=ISSUER, channels=channels())
    with pytest.raises(BadCall) as refused:
        await who(with_channel(token(claims())))
    assert (refused.value.reason.code, refused.value.caller) == ("actor_refused", caller)
    assert "somebody" not in refused.value.message


async def test_j_32_a_chain_that_would_be_too_long_with_the_channel_is_refused() -> None:
    def acted(depth: int) -> Caller:
        act: dict[str, Any] = {"sub": "a"}
        for _ in range(depth - 1):
            act = {"sub": "a", "act": act}
        return dataclasses.replace(BOB, act=act)

    sent = with_channel(token(claims()))
    assert await Identify([Knows(acted(3))], anonymous=False, issuer=ISSUER, channels=channels())(sent)
    with pytest.raises(BadCall) as refused:
        await Identify([Knows(acted(4))], anonymous=False, issuer=ISSUER, channels=channels())(sent)
    assert refused.value.reason.code == "actor_refused"


async def test_a_403_for_scopes_names_all_of_them_and_who_lacks_them() -> None:
    who = Identify([Knows(InsufficientScope(("read", "write"), BOB))], anonymous=False, issuer=ISSUER)
    with pytest.raises(InsufficientScope) as refused:
        await who(with_key())
    ((name, value),) = refused.value.headers
    assert name == b"www-authenticate"
    assert b'error="insufficient_scope", scope="read write"' in value
    assert refused.value.caller is BOB


# ---- a key, and beside it the token of whom the call is for ----

BESIDE = b"x-litellm-api-key"
LIMITED = dataclasses.replace(ALICE, servers=Patterns.of(["weather"]), tools=Patterns.of(["get_*"]), expires=500.0)


class Holder(Knows):
    """Knows one credential."""

    def __init__(self, presented: bytes, caller: Caller) -> None:
        super().__init__(caller)
        self._presented = presented

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        found = await super().authenticate(presented, inbound)
        return found if presented == self._presented else None


def beside(*, needed: bool = False, tokens: bool = True, key: Caller = ALICE) -> Identify:
    return Identify(
        [Holder(b"abc", key), Holder(b"a.b.c", BOB)],
        anonymous=False,
        issuer=ISSUER,
        takes_tokens=tokens,
        key_header=BESIDE,
        tokens_need_key=needed,
    )


KEY_HEADER, TOKEN_HEADER = (BESIDE, b"Bearer abc"), (b"authorization", b"Bearer a.b.c")


async def test_beside_a_key_the_token_says_who_calls_and_the_keys_restrictions_hold() -> None:
    caller = await beside(needed=True, key=LIMITED)(inbound(KEY_HEADER, TOKEN_HEADER))
    assert caller == dataclasses.replace(BOB, servers=LIMITED.servers, tools=LIMITED.tools, expires=500.0)
    assert await beside()(inbound(KEY_HEADER)) is ALICE
    assert await beside()(inbound(TOKEN_HEADER)) is BOB


async def test_where_a_token_needs_a_key_it_is_nobodys_without() -> None:
    with pytest.raises(Unauthenticated) as told:
        await beside(needed=True)(inbound(TOKEN_HEADER))
    assert (told.value.message, told.value.detail) == (REFUSED, "a token without an API key beside it")
    assert await beside(needed=True)(inbound(KEY_HEADER)) is ALICE


@pytest.mark.parametrize(
    "headers",
    [
        ((BESIDE, b"abd"), TOKEN_HEADER),
        (KEY_HEADER, (b"authorization", b"Bearer a.b.d")),
        ((BESIDE, b"a.b.c"), (b"authorization", b"Bearer abc")),
        ((BESIDE, b"a.b.c"), (b"authorization", b"Bearer x")),
    ],
)
async def test_both_must_be_good_and_what_they_are(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(CallError) as told:
        await beside(needed=True)(inbound(*headers))
    assert told.value.reason.status in (400, 401)


async def test_where_no_token_is_taken_what_is_beside_a_key_is_not_read() -> None:
    assert await beside(tokens=False)(inbound(KEY_HEADER, (b"authorization", b"Bearer whatever"))) is ALICE
    with pytest.raises(Unauthenticated):
        await beside(tokens=False)(inbound((BESIDE, b"abd"), (b"authorization", b"Bearer whatever")))
