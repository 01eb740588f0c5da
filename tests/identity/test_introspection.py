"""Opaque tokens: what an endpoint's answer has to say before it becomes a Caller, and which endpoint is asked at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.errors import BadCall, CannotTell, Unauthenticated
from counterseal.gateway.ids import Ids
from counterseal.identity.client_auth import Basic, ClientAuth, Post, PrivateKeyJwt
from counterseal.identity.identify import Identify
from counterseal.identity.idp_jwt import IdpTokens
from counterseal.identity.introspection import Introspection
from counterseal.issuer.signers.local import LocalSigner
from tests.identity.introspecting import (
    FILES,
    GATEWAY,
    IDP,
    TOKEN,
    WEATHER,
    Answers,
    caller_of,
    doubt,
    endpoint,
    good,
    introspection,
    refusal,
)
from tests.support.authorization_server import Answer, AuthorizationServer, Posting
from tests.support.tokens import ABSENT, NOW, FixedClock, access_claims, private_key, token


@pytest.fixture
def asking(server: AuthorizationServer, post: Posting) -> Introspection:
    return introspection(endpoint(post, server.url))


async def test_an_active_token_is_its_subject_with_all_that_the_endpoint_says(asking: Introspection) -> None:
    caller = await caller_of(asking)
    assert (caller.kind, caller.issuer, caller.subject, caller.client_id) == ("token", IDP, "alice", "ide")
    claims = good()
    del claims["active"]
    assert dict(caller.claims) == claims
    assert caller.expires == NOW + 60
    with pytest.raises(TypeError):
        caller.claims["sub"] = "bob"  # type: ignore[index]


N_01 = {
    "text": good(active="true"),
    "one": good(active=1),
    "a list": good(active=[True]),
    "an object": good(active={"active": True}),
    "null": good(active=None),
    "missing": good(active=ABSENT),
    "another case": good(active=ABSENT, Active=True),
    "duplicated": json.dumps(good()).encode()[:-1] + b', "active": true}',
    "duplicated, false first": b'{"active": false, ' + json.dumps(good()).encode()[1:],
    "duplicated by an escape": json.dumps(good()).encode()[:-1] + b', "\\u0061ctive": true}',
    "another member duplicated": json.dumps(good()).encode()[:-1] + b', "sub": "bob"}',
    "in a list": [good()],
    "inside": {"token_introspection": good()},
    "nothing": b"",
    "a text": "active",
    "true": b"true",
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(good()).encode(),
    "UTF-16": json.dumps(good()).encode("utf-16"),
    "more after it": json.dumps(good()).encode() + b"{}",
    "deep": json.dumps(good())[:-1].encode() + b', "x": ' + b"[" * 16 + b"]" * 16 + b"}",
    "NaN": json.dumps(good()).encode()[:-1] + b', "x": NaN}',
}


@pytest.mark.parametrize("answer", N_01.values(), ids=N_01.keys())
async def test_n_01_an_answer_without_one_active_that_is_true_or_false_tells_nobody_anything(
    server: AuthorizationServer, asking: Introspection, answer: Answer
) -> None:
    """RFC 7662 section 2.2 requires it, so it is the endpoint that fails, and not the caller."""
    server.answer = answer
    await doubt(asking)
    server.answer = good()
    assert (await caller_of(asking)).subject == "alice"


async def test_n_01_an_inactive_token_is_refused_whatever_else_is_said_of_it(
    server: AuthorizationServer, asking: Introspection
) -> None:
    server.answer = good(active=False)
    assert "not active" in await refusal(asking)
    server.answer = good()
    assert (await caller_of(asking, b"another-token")).subject == "alice"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_MEMBERS = st.dictionaries(st.sampled_from([*good(), "cnf", "typ"]), _JSON)


def attempt(body: bytes) -> Caller | None:
    """Who a token is to the gateway, when its endpoint answers with this; None where it is 401 or 503."""
    try:
        return asyncio.run(introspection(endpoint(Answers(body))).authenticate(TOKEN, WEATHER))
    except (Unauthenticated, CannotTell):
        return None


@given(answer=_JSON | st.builds(lambda members: {**good(), **members}, _MEMBERS))
def test_n_01_no_json_is_a_caller_unless_its_active_is_true(answer: Any) -> None:
    caller = attempt(json.dumps(answer).encode())
    assert caller is None or (isinstance(answer, dict) and answer["active"] is True)


@given(members=_MEMBERS)
def test_n_05_who_is_accepted_is_named_by_the_answer_and_of_the_issuer(members: dict[str, Any]) -> None:
    answer = {**good(), **members, "active": True}
    caller = attempt(json.dumps(answer).encode())
    if caller is not None:
        assert (caller.issuer, caller.subject) == (IDP, answer["sub"])
        assert answer["sub"]
        assert answer["iss"] == IDP
        assert "cnf" not in answer


def test_the_property_has_an_accepted_twin() -> None:
    assert attempt(json.dumps(good()).encode()) is not None


@given(body=st.binary(max_size=64))
def test_n_01_no_bytes_are_a_caller(body: bytes) -> None:
    assert attempt(body) is None


REFUSED_CLAIMS = {
    "another issuer": (good(iss="https://other.example.com"), "issuer"),
    "an issuer with a slash": (good(iss=IDP + "/"), "issuer"),
    "no issuer but null": (good(iss=None), "issuer"),
    "a list of issuers": (good(iss=[IDP]), "issuer"),
    "no audience": (good(aud=ABSENT), "audience"),
    "another audience": (good(aud="https://gateway.example.com/mcp/files"), "audience"),
    "no subject and no client": (good(sub=ABSENT, client_id=ABSENT), "subject"),
    "an empty subject": (good(sub=""), "subject"),
    "a subject that is null": (good(sub=None), "subject"),
    "a subject that is a number": (good(sub=7), "subject"),
    "no subject, and a client that is a list": (good(sub=ABSENT, client_id=["ide"]), "subject"),
    "bound to a key": (good(cnf={"jkt": "x"}), "confirmation"),
    "bound to nothing": (good(cnf=None), "confirmation"),
    "DPoP": (good(token_type="DPoP"), "typ"),
    "mac": (good(token_type="mac"), "typ"),
    "a type that is a list": (good(token_type=["Bearer"]), "typ"),
    "a type that is null": (good(token_type=None), "typ"),
    "Keycloak's refresh token": (good(typ="Refresh"), "typ"),
    "Keycloak's offline token": (good(typ="Offline"), "typ"),
    "Keycloak's ID token": (good(typ="ID"), "typ"),
    "Keycloak's logout token": (good(typ="Logout"), "typ"),
    "Hydra's refresh token": (good(token_use="refresh_token"), "typ"),
    "Cognito's ID token": (good(token_use="id"), "typ"),
    "an ID token": (good(at_hash="x"), "typ"),
    "a security event": (good(events={}), "typ"),
    "over": (good(exp=NOW - 30), "expired"),
    "exp is a text": (good(exp=str(NOW + 60)), "time"),
    "exp is true": (good(exp=True), "time"),
    "exp is null": (good(exp=None), "time"),
    "exp is beyond the years": (good(exp=10**12), "time"),
    "exp is negative": (good(exp=-1), "time"),
    "nbf is to come": (good(nbf=NOW + 31), "not_yet_valid"),
    "iat is to come": (good(iat=NOW + 31), "not_yet_valid"),
    "nbf is a list": (good(nbf=[NOW]), "time"),
    "iat is a text": (good(iat="now"), "time"),
}


@pytest.mark.parametrize(("answer", "code"), REFUSED_CLAIMS.values(), ids=REFUSED_CLAIMS.keys())
async def test_n_05_an_active_token_is_held_to_the_rules_of_every_token(
    server: AuthorizationServer, asking: Introspection, answer: dict[str, Any], code: str
) -> None:
    server.answer = answer
    assert (await refusal(asking)).startswith(f"{code}: ")
    server.answer = good()
    assert (await caller_of(asking, b"another-token")).subject == "alice"


ACCEPTED_CLAIMS = {
    "nothing but what is needed": {"active": True, "sub": "alice", "aud": "https://gateway.example.com/mcp/weather"},
    "no issuer": good(iss=ABSENT),
    "no exp": good(exp=ABSENT),
    "over, within the leeway": good(exp=NOW - 29.5),
    "to come, within the leeway": good(nbf=NOW + 30, iat=NOW + 30),
    "bearer in small letters": good(token_type="bearer"),
    "no type": good(token_type=ABSENT),
    "Keycloak's access token": good(typ="Bearer"),
    "an access token of RFC 9068": good(typ="at+jwt"),
    "Hydra's access token": good(token_use="access_token"),
    "Cognito's access token": good(token_use="access"),
    "a list of audiences": good(aud=["https://other.example.com", "https://gateway.example.com/mcp/weather"]),
    "a member of its own": good(groups=["eng"]),
}


@pytest.mark.parametrize("answer", ACCEPTED_CLAIMS.values(), ids=ACCEPTED_CLAIMS.keys())
async def test_n_05_what_is_within_the_rules_is_accepted(
    server: AuthorizationServer, asking: Introspection, answer: dict[str, Any]
) -> None:
    server.answer = answer
    caller = await caller_of(asking)
    assert (caller.subject, caller.issuer, caller.claims["iss"]) == ("alice", IDP, IDP)


async def test_n_05_a_token_that_a_client_got_for_itself_is_about_the_client(
    server: AuthorizationServer, asking: Introspection
) -> None:
    server.answer = good(sub=ABSENT, client_id="batch")
    caller = await caller_of(asking)
    assert (caller.subject, caller.client_id, caller.claims["sub"]) == ("batch", "batch", "batch")


async def test_without_a_required_audience_something_must_still_tell_an_access_token_from_a_refresh_token(
    server: AuthorizationServer, post: Posting
) -> None:
    asking = introspection(endpoint(post, server.url, require_audience=False))
    server.answer = good(aud=ABSENT)
    assert (await caller_of(asking)).subject == "alice"
    server.answer = good(aud=ABSENT, token_type=ABSENT)
    assert "refresh token" in await refusal(asking, b"another-token")


async def test_n_05_where_an_endpoint_has_no_one_issuer_accept_decides_about_it(
    server: AuthorizationServer, post: Posting
) -> None:
    asking = introspection(endpoint(post, server.url, issuer=None))
    server.answer = good(iss="https://other.example.com")
    assert (await caller_of(asking)).issuer == "https://other.example.com"
    server.answer = good(iss=ABSENT)
    caller = await caller_of(asking, b"another-token")
    assert (caller.issuer, "iss" in caller.claims) == (None, False)


@pytest.mark.parametrize("leeway", [-1, 60.5])
def test_a_leeway_is_a_minute_at_most(leeway: float) -> None:
    with pytest.raises(ValueError, match="leeway"):
        endpoint(Answers(b""), leeway=leeway)
    endpoint(Answers(b""), leeway=60)


async def test_what_accept_refuses_is_refused_and_what_it_raises_is_raised(
    server: AuthorizationServer, post: Posting
) -> None:
    def step_up(claims: Any, inbound: Inbound) -> Caller:
        raise BadCall("bad_header", "more is needed")

    with pytest.raises(BadCall, match="more is needed"):
        await introspection(endpoint(post, server.url, accept=step_up)).authenticate(TOKEN, WEATHER)
    assert (await caller_of(introspection(endpoint(post, server.url)))).subject == "alice"


# which endpoint is asked, and how


def private_key_jwt() -> PrivateKeyJwt:
    signer = LocalSigner(private_key("ES256"), "ES256")
    return PrivateKeyJwt("gw", signer.sign, kid=signer.kid, algorithm="ES256", clock=FixedClock(), new_id=Ids().new)


@pytest.mark.parametrize(
    ("auth", "more"),
    [
        (Basic("gw", "s"), set()),
        (Post("gw", "s"), {"client_id", "client_secret"}),
        (private_key_jwt(), {"client_assertion_type", "client_assertion"}),
    ],
    ids=["basic", "post", "private key"],
)
async def test_n_06_a_token_is_asked_about_in_the_body_of_a_post_and_nowhere_else(
    server: AuthorizationServer, post: Posting, auth: ClientAuth, more: set[str]
) -> None:
    await caller_of(introspection(endpoint(post, server.url, auth=auth)))
    (asked,) = server.seen
    assert asked.line == "POST /introspect"
    assert (asked["token"], asked["token_type_hint"]) == (TOKEN.decode(), "access_token")
    assert {name for name, _ in asked.form} == {"token", "token_type_hint"} | more
    assert ("authorization" in asked.headers) is isinstance(auth, Basic)
    head, _, _ = server.bytes.partition(b"\r\n\r\n")
    assert TOKEN not in head


async def test_n_06_what_has_a_meaning_in_a_form_is_encoded(server: AuthorizationServer, asking: Introspection) -> None:
    presented = b"a+b/c~d._-1=="
    await caller_of(asking, presented)
    assert server.seen[0]["token"] == presented.decode()


@pytest.mark.parametrize(
    "presented",
    [
        b"csk_abcdefghijkl_secret",
        b"csk_",
        b"a.b.c",
        b"..",
        b"a.b.c.d.e",
        token(access_claims()).encode(),
        token(access_claims(), header={"typ": "token-introspection+jwt"}).encode(),
        b"x" * 8193,
    ],
    ids=lambda value: value[:12].decode(),
)
async def test_n_07_n_08_what_is_no_opaque_token_is_nobody_here_and_is_sent_nowhere(
    server: AuthorizationServer, asking: Introspection, presented: bytes
) -> None:
    assert await asking.authenticate(presented, WEATHER) is None
    assert server.count == 0
    assert (await caller_of(asking, b"one.dot")).subject == "alice"
    assert (await caller_of(asking, b"x" * 8192)).subject == "alice"


@pytest.mark.parametrize("opaque_first", [False, True])
async def test_n_07_a_jwt_that_failed_is_401_and_no_endpoint_hears_of_it(
    server: AuthorizationServer, asking: Introspection, opaque_first: bool
) -> None:
    """The endpoint would have accepted it."""
    jwts = IdpTokens([], GATEWAY, FixedClock(), LIMITS)
    order = [asking, jwts] if opaque_first else [jwts, asking]
    identify = Identify(order, anonymous=True, issuer=GATEWAY)

    def bearing(presented: bytes) -> Inbound:
        return Inbound("POST", "weather", ((b"authorization", b"Bearer " + presented),), b"", "192.0.2.7")

    for presented in (token(access_claims(iss=IDP)).encode(), b"a.b.c", b"x." * 50 + b"x"):
        with pytest.raises(Unauthenticated):
            await identify(bearing(presented))
    assert server.count == 0
    assert (await identify(bearing(TOKEN))).subject == "alice"


async def test_the_endpoint_with_the_longest_fitting_prefix_is_the_only_one_that_is_asked(post: Posting) -> None:
    async with AuthorizationServer(good(sub="of-any")) as any_, AuthorizationServer(good(sub="of-ory")) as ory:
        asking = introspection(
            endpoint(post, any_.url, name="any"), endpoint(post, ory.url, name="ory", prefix=b"ory_at_")
        )
        assert (await caller_of(asking, b"ory_at_1")).subject == "of-ory"
        assert (any_.count, ory.count) == (0, 1)
        ory.answer = {"active": False}
        await refusal(asking, b"ory_at_2")
        assert (any_.count, ory.count) == (0, 2)
        assert (await caller_of(asking, b"ory_at")).subject == "of-any"
        assert (any_.count, ory.count) == (1, 2)


async def test_a_token_that_no_endpoint_is_for_is_nobody_here(server: AuthorizationServer, post: Posting) -> None:
    asking = introspection(endpoint(post, server.url, prefix=b"ory_at_"))
    assert await asking.authenticate(TOKEN, WEATHER) is None
    assert server.count == 0
    assert (await caller_of(asking, b"ory_at_1")).subject == "alice"
    assert await introspection().authenticate(TOKEN, FILES) is None


@pytest.mark.parametrize("same", [{"prefix": b"a"}, {"name": "other"}])
def test_two_endpoints_for_the_same_tokens_are_a_mistake(same: dict[str, Any]) -> None:
    one, other = endpoint(Answers(b"")), endpoint(Answers(b""), name="other", prefix=b"a")
    introspection(one, other)
    with pytest.raises(ValueError, match="give each its own"):
        introspection(endpoint(Answers(b""), **same), other)
