"""Access tokens of identity providers: what of a signed token the gateway itself decides about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.claims import ACT_DEPTH
from counterseal.core.limits import LIMITS
from counterseal.errors import CannotTell, Unauthenticated
from counterseal.identity.credentials import REFUSED
from counterseal.identity.idp_jwt import IdpTokens, TrustedIssuer
from counterseal.jose.jwk import Key, KeySet, read_jwks
from counterseal.jose.strict import Unverified
from tests.support.tokens import ABSENT, NOW, FixedClock, access_claims, jwk, jwks, private_key, token

OURS = "https://gateway.example.com"
CORP, PARTNER = "https://idp.example.com/corp", "https://idp.example.com/partner"
CALLED = f"{OURS}/mcp/weather"
INBOUND = Inbound("POST", "weather", (), b"", "192.0.2.7")
HIDDEN = private_key("ES256", "hidden")
"""The key of an issuer that has the same `kid` as another."""


class HeldKeys:
    """One issuer's keys, at hand or not; counts how often it was asked."""

    def __init__(self, document: dict[str, Any] | None) -> None:
        self._keys: KeySet | None = read_jwks(document, LIMITS) if document is not None else None
        self.asked = 0

    async def find(self, unverified: Unverified) -> Key:
        self.asked += 1
        if self._keys is None:
            raise CannotTell("identity_unavailable", "the identity provider's keys cannot be had now")
        return self._keys.find(unverified)


def trusted(issuer: str = CORP, **changes: Any) -> TrustedIssuer:
    values = {
        "name": issuer.rpartition("/")[2],
        "issuer": issuer,
        "audiences": None,
        "algorithms": frozenset({"ES256", "RS256"}),
        "keys": HeldKeys(jwks("ES256", "RS256", "ES384")),
    }
    return TrustedIssuer(**{**values, **changes})


def claims(**changes: Any) -> dict[str, Any]:
    return access_claims(**{"iss": CORP, "aud": CALLED, "client_id": "ide", **changes})


async def who(
    presented: str | bytes, *issuers: TrustedIssuer, inbound: Inbound = INBOUND, now: float = NOW
) -> Caller | None:
    tokens = IdpTokens(issuers or (trusted(),), OURS, FixedClock(now), LIMITS)
    return await tokens.authenticate(presented if isinstance(presented, bytes) else presented.encode(), inbound)


async def refusal(presented: str | bytes, *issuers: TrustedIssuer, inbound: Inbound = INBOUND, now: float = NOW) -> str:
    """The detail of a refusal, once it looks to the caller like any other (threats.md J-30)."""
    with pytest.raises(Unauthenticated) as refused:
        await who(presented, *issuers, inbound=inbound, now=now)
    error = refused.value
    assert (error.reason.code, error.reason.status, error.message, error.data) == (
        "credential_invalid",
        401,
        REFUSED,
        {},
    )
    assert error.detail
    return error.detail


# ---- what a good token makes ------------------------------------------------------------------------------------------


async def test_a_good_token_makes_a_caller_of_its_claims() -> None:
    caller = await who(token(claims(email="a@example.com", act={"sub": "agent-7"})))
    assert caller is not None
    assert (caller.kind, caller.issuer, caller.subject, caller.client_id) == ("token", CORP, "alice", "ide")
    assert (caller.act, caller.expires) == ({"sub": "agent-7"}, NOW + 60)
    assert caller.claims["email"] == "a@example.com"
    assert (caller.servers, caller.tools, caller.fields) == (None, None, {})


async def test_the_claims_of_a_caller_cannot_be_changed() -> None:
    """I-09."""
    caller = await who(token(claims()))
    assert caller is not None
    with pytest.raises(TypeError):
        caller.claims["sub"] = "mallory"  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "client"),
    [
        ({}, "ide"),
        ({"client_id": ABSENT, "azp": "app"}, "app"),
        ({"azp": "app"}, "ide"),
        ({"client_id": ABSENT}, "alice"),
    ],
)
async def test_the_client_is_client_id_else_azp_else_the_subject(changes: dict[str, Any], client: str) -> None:
    caller = await who(token(claims(**changes)))
    assert caller is not None
    assert caller.client_id == client


@pytest.mark.parametrize("value", [7, ["ide"], {"id": "ide"}, True])
async def test_a_client_that_is_not_a_string_is_refused(value: Any) -> None:
    assert "client_id" in await refusal(token(claims(client_id=value)))


@pytest.mark.parametrize("presented", [b"csk_abc", b"abc", b"a.b", b"opaque~token", b"."])
async def test_what_is_not_a_jwt_by_its_form_is_for_another_authenticator(presented: bytes) -> None:
    assert await who(presented) is None


@pytest.mark.parametrize("presented", [b"a.b.c", b"..", b"a.b.c.d.e", b"." * 8000, b"." * 9000, b"a.b.c" * 2000])
async def test_j_10_j_12_what_looks_like_a_jwt_and_is_none_is_refused_here(presented: bytes) -> None:
    """N-07: it never falls through to another kind of credential."""
    await refusal(presented)


# ---- the issuer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer",
    [
        CORP + "/",
        CORP[:-1],
        CORP + "x",
        CORP.upper(),
        "HTTPS" + CORP[5:],
        CORP.replace("//", "//idp.example.com@"),
        CORP.replace(".com", ".com:443"),
        CORP.replace("corp", "c%6frp"),
        CORP.replace("idp.", "idp.\N{CYRILLIC SMALL LETTER IE}"),
        CORP + "?",
        CORP + "#",
        " " + CORP,
        CORP + "\n",
        "",
        None,
        7,
        [CORP],
        {"iss": CORP},
        True,
        ABSENT,
    ],
)
async def test_j_18_the_issuer_is_equal_to_the_byte_or_it_is_another(issuer: Any) -> None:
    keys = HeldKeys(jwks("ES256"))
    await refusal(token(claims(iss=issuer)), trusted(keys=keys))
    assert keys.asked == 0
    assert await who(token(claims()), trusted(keys=keys)) is not None


async def test_j_06_the_key_is_looked_for_at_the_issuer_that_the_token_names() -> None:
    """Both issuers have a key of the id `ES256`."""
    corp = trusted(CORP)
    hidden = {"keys": [jwk(HIDDEN, kid="ES256", alg="ES256")]}
    partner = trusted(PARTNER, keys=HeldKeys(hidden))
    assert await who(token(claims(iss=PARTNER), key=HIDDEN), corp, partner) is not None
    assert await who(token(claims(iss=CORP)), corp, partner) is not None
    assert "signature" in await refusal(token(claims(iss=CORP), key=HIDDEN), corp, partner)
    assert "signature" in await refusal(token(claims(iss=PARTNER)), corp, partner)


async def test_j_06_each_issuer_has_its_own_rules() -> None:
    corp = trusted(CORP, audiences=("api-corp",), algorithms=frozenset({"ES256"}))
    partner = trusted(PARTNER, audiences=("api-partner",), algorithms=frozenset({"RS256"}))
    assert await who(token(claims(aud="api-corp")), corp, partner) is not None
    assert await who(token(claims(iss=PARTNER, aud="api-partner"), "RS256"), corp, partner) is not None
    assert "audience" in await refusal(token(claims(aud="api-partner")), corp, partner)
    assert "algorithm" in await refusal(token(claims(iss=PARTNER, aud="api-partner")), corp, partner)


async def test_j_21_a_call_token_of_this_gateway_never_comes_back_in() -> None:
    """Invariant 11: even where a configuration trusts our own issuer."""
    keys = HeldKeys(jwks("ES256"))
    detail = await refusal(token(claims(iss=OURS)), trusted(OURS, keys=keys), trusted())
    assert "call token of this gateway" in detail
    assert keys.asked == 0


# ---- the algorithm ----------------------------------------------------------------------------------------------------


async def test_j_03_an_algorithm_that_the_issuer_may_not_use_is_refused_without_asking_for_keys() -> None:
    keys = HeldKeys(jwks("ES256", "ES384"))
    issuer = trusted(keys=keys)
    assert "algorithm" in await refusal(token(claims(), "ES384"), issuer)
    assert keys.asked == 0
    assert await who(token(claims(), "ES384"), trusted(algorithms=frozenset({"ES384"}))) is not None


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "none ", "", "HS256", "HS512", "es256", "ES256 ", "dir"]
)
async def test_j_01_j_02_an_algorithm_that_is_not_in_the_table_is_refused_whatever_it_is_called(alg: str) -> None:
    keys = HeldKeys(jwks("ES256"))
    await refusal(token(claims(), header={"alg": alg}), trusted(keys=keys))
    assert keys.asked == 0


async def test_j_04_a_key_that_the_token_brings_along_is_not_looked_at() -> None:
    mallory = private_key("ES256", "mallory")
    keys = HeldKeys(jwks("ES256"))
    for name, value in (
        ("jwk", jwk(mallory)),
        ("jku", "https://evil.example/jwks"),
        ("x5u", "https://evil.example/x5u"),
    ):
        await refusal(token(claims(), header={name: value}, key=mallory), trusted(keys=keys))
    assert keys.asked == 0
    # Some providers send `x5t`; no key is found by it.
    assert await who(token(claims(), header={"x5t": "abc"}), trusted(keys=keys)) is not None
    assert "signature" in await refusal(token(claims(), header={"x5c": ["MII"]}, key=mallory))


# ---- the audience -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aud", [CALLED, [CALLED], ["other", CALLED]])
async def test_j_17_the_default_audience_is_the_address_that_was_called(aud: Any) -> None:
    assert await who(token(claims(aud=aud))) is not None


@pytest.mark.parametrize(
    "aud",
    [
        f"{OURS}/mcp/files",
        f"{OURS}/mcp",
        f"{OURS}/mcp/weather/",
        f"{OURS}/mcp/Weather",
        f"{OURS}/mcp/weathe",
        f"{OURS}/mcp/weather2",
        OURS,
        CORP,
        "weather",
        "",
        [],
        [CALLED, 7],
        [f"other{number}" for number in range(10)] + [CALLED],
        {"aud": CALLED},
        None,
        True,
        ABSENT,
    ],
)
async def test_j_17_any_other_audience_is_refused(aud: Any) -> None:
    assert (await refusal(token(claims(aud=aud)))).startswith("audience")


async def test_j_17_a_token_for_one_server_is_not_good_at_another() -> None:
    files = Inbound("POST", "files", (), b"", "192.0.2.7")
    assert (await refusal(token(claims()), inbound=files)).startswith("audience")
    assert await who(token(claims(aud=f"{OURS}/mcp/files")), inbound=files) is not None


async def test_j_17_a_configured_audience_takes_the_place_of_the_address() -> None:
    issuer = trusted(audiences=("api://gateway", "api://old"))
    assert await who(token(claims(aud="api://old")), issuer) is not None
    assert (await refusal(token(claims(aud=CALLED)), issuer)).startswith("audience")


async def test_k_19_the_host_header_does_not_choose_the_audience() -> None:
    evil = Inbound("POST", "weather", ((b"host", b"evil.example"), (b"x-forwarded-host", b"evil.example")), b"", "::1")
    assert await who(token(claims()), inbound=evil) is not None
    await refusal(token(claims(aud="https://evil.example/mcp/weather")), inbound=evil)


# ---- the kind of token ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT", "JWT", "jwt", ABSENT])
async def test_j_20_an_access_token_is_one_by_its_type_or_has_none(typ: Any) -> None:
    assert await who(token(claims(), header={"typ": typ})) is not None


@pytest.mark.parametrize(
    "typ",
    [
        *("logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "JOSE+JSON", "entity-statement+jwt", "id_token", ""),
        *(
            "token-introspection+jwt",
            "client-authentication+jwt",
            "oauth-authz-req+jwt",
            "at+jwtx",
            "xat+jwt",
            "kb+jwt",
        ),
    ],
)
async def test_j_20_another_kind_of_jwt_is_refused_by_its_type(typ: str) -> None:
    assert (await refusal(token(claims(), header={"typ": typ}))).startswith("typ")


@pytest.mark.parametrize(
    "changes",
    [
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"events": None},
        {"at_hash": "MTIz"},
        {"c_hash": "MTIz"},
        {"typ": "ID"},
        {"token_use": "id"},
    ],
    ids=str,
)
async def test_j_20_another_kind_of_jwt_is_refused_by_its_claims(changes: dict[str, Any]) -> None:
    assert (await refusal(token(claims(**changes), header={"typ": "JWT"}))).startswith("typ")


@pytest.mark.parametrize("changes", [{"nonce": "n-0S6"}, {"typ": "Bearer"}, {"token_use": "access"}], ids=str)
async def test_j_20_what_providers_put_into_access_tokens_is_no_sign_of_another_kind(changes: dict[str, Any]) -> None:
    assert await who(token(claims(**changes), header={"typ": "JWT"})) is not None


async def test_j_20_a_client_assertion_is_refused_by_its_audience() -> None:
    assertion = claims(iss=CORP, sub="ide", aud=f"{CORP}/token")
    assert (await refusal(token(assertion, header={"typ": "JWT"}))).startswith("audience")


@pytest.mark.parametrize("cnf", [{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "abc"}, {}, None])
async def test_j_31_a_token_that_is_bound_to_a_key_is_not_a_bearer_token(cnf: Any) -> None:
    assert (await refusal(token(claims(cnf=cnf)))).startswith("confirmation")


# ---- times and subjects -----------------------------------------------------------------------------------------------


async def test_j_14_a_token_ends_at_exp_plus_the_leeway() -> None:
    presented = token(claims())
    assert await who(presented, now=NOW + 60 + 29.999) is not None
    assert (await refusal(presented, now=NOW + 60 + 30)).startswith("expired")
    assert await who(presented, now=NOW - 30) is not None
    assert (await refusal(presented, now=NOW - 30.001)).startswith("not_yet_valid")


@pytest.mark.parametrize("exp", [ABSENT, None, True, str(NOW + 60), [NOW + 60], -1, 253402300800])
async def test_j_14_an_end_that_is_not_a_date_is_refused(exp: Any) -> None:
    assert (await refusal(token(claims(exp=exp, nbf=ABSENT, iat=ABSENT)))).startswith("time")


@pytest.mark.parametrize(
    "sub", [ABSENT, None, "", 7, ["alice"], {"id": "alice"}, "a" * 256, "a\r\nb", "a\u202eb", "a\0"]
)
async def test_j_19_a_subject_is_a_plain_string(sub: Any) -> None:
    assert (await refusal(token(claims(sub=sub)))).startswith("subject")


@pytest.mark.parametrize("sub", ["apikey:k1", "apikey:", "anonymous"])
async def test_j_19_a_subject_of_a_provider_does_not_pass_for_a_caller_without_a_person(sub: str) -> None:
    assert (await refusal(token(claims(sub=sub)))).startswith("subject")


@pytest.mark.parametrize("sub", ["apikey", "Anonymous", "system", "a" * 255, "ålice"])
async def test_j_19_a_subject_is_never_more_than_the_subject_of_its_issuer(sub: str) -> None:
    caller = await who(token(claims(sub=sub)))
    assert caller is not None
    assert (caller.kind, caller.issuer, caller.subject) == ("token", CORP, sub)
    other = Caller(kind="api_key", client_id=caller.client_id, subject=sub)
    assert caller.fingerprint() != other.fingerprint()


# ---- actors -----------------------------------------------------------------------------------------------------------


def chain(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "agent-0"}
    for number in range(1, depth):
        act = {"sub": f"agent-{number}", "act": act}
    return act


async def test_j_32_a_verified_chain_of_actors_is_kept_as_it_is_up_to_its_ceiling() -> None:
    caller = await who(token(claims(act=chain(ACT_DEPTH))))
    assert caller is not None
    assert caller.act == chain(ACT_DEPTH)
    assert "act" in await refusal(token(claims(act=chain(ACT_DEPTH + 1))))


@pytest.mark.parametrize(
    "act",
    [
        "agent-7",
        7,
        True,
        [],
        ["agent-7"],
        {},
        {"sub": 7},
        {"sub": "a", "act": "b"},
        {"sub": "a", "act": {}},
        {"x": "y"},
    ],
)
async def test_j_32_what_is_not_a_chain_of_actors_is_refused(act: Any) -> None:
    assert "act" in await refusal(token(claims(act=act)))


async def test_j_32_j_13_a_chain_of_a_thousand_actors_is_refused_by_the_reader() -> None:
    deep = b'{"iss":"%s","act":' % CORP.encode() + b'{"act":' * 1000 + b"{}" + b"}" * 1000 + b"}"
    await refusal(token(deep))


# ---- what the caller learns -------------------------------------------------------------------------------------------


def _broken_signature() -> str:
    good = token(claims())
    return good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")


BAD: dict[str, Callable[[], str]] = {
    "bad signature": _broken_signature,
    "unknown kid": lambda: token(claims(), header={"kid": "made-up"}),
    "wrong issuer": lambda: token(claims(iss="https://evil.example")),
    "our own": lambda: token(claims(iss=OURS)),
    "expired": lambda: token(claims(iat=NOW - 1000, nbf=NOW - 1000, exp=NOW - 500)),
    "wrong audience": lambda: token(claims(aud="api")),
    "wrong type": lambda: token(claims(), header={"typ": "logout+jwt"}),
    "wrong algorithm": lambda: token(claims(), "ES384"),
    "bound": lambda: token(claims(cnf={"jkt": "x"})),
    "malformed": lambda: "a.b.c",
    "duplicate": lambda: token(b'{"iss":"https://a","iss":"https://b"}'),
    "not an object": lambda: token(b"[1]"),
    "actors": lambda: token(claims(act="x")),
    "subject": lambda: token(claims(sub="")),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_j_30_every_bad_token_gets_the_same_public_text_and_the_record_the_cause(bad: Callable[[], str]) -> None:
    detail = await refusal(bad())
    assert len(detail) > 10


async def test_j_30_no_two_causes_leave_the_same_detail() -> None:
    details = [await refusal(bad()) for bad in BAD.values()]
    assert len(set(details)) == len(details)


async def test_nothing_of_a_refused_token_is_in_what_is_said_of_it() -> None:
    canary = "c4n4ry"
    changes = ({"iss": f"https://{canary}"}, {"aud": canary}, {"sub": canary + "\n"}, {"act": canary}, {"exp": canary})
    for change in changes:
        assert canary not in await refusal(token(claims(**change)))
    for header in ({"kid": canary}, {"typ": canary}, {"alg": canary}):
        assert canary not in await refusal(token(claims(), header=header))


async def test_k_08_where_the_keys_cannot_be_had_it_is_503_for_that_issuer_alone() -> None:
    down, up = trusted(CORP, keys=HeldKeys(None)), trusted(PARTNER)
    with pytest.raises(CannotTell) as told:
        await who(token(claims()), down, up)
    assert told.value.reason.code == "identity_unavailable"
    assert await who(token(claims(iss=PARTNER)), down, up) is not None


async def test_what_is_wrong_without_a_key_is_401_even_while_keys_cannot_be_had() -> None:
    await refusal("a.b.c", trusted(keys=HeldKeys(None)))
