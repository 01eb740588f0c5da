"""Who is calling: the authenticators in their order, and anonymous only where nothing was sent and a line allows it."""

from __future__ import annotations

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.errors import BadCall, CallError, CannotTell, Unauthenticated
from counterseal.identity.credentials import REFUSED
from counterseal.identity.identify import ANONYMOUS, Identify

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
