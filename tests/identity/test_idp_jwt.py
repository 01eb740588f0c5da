"""Access tokens of identity providers: what of a signed token the gateway itself decides about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.errors import CannotTell
from counterseal.identity.idp_jwt import TrustedIssuer
from tests.identity.issuers import CALLED, CORP, OURS, PARTNER, HeldKeys, claims, refusal, trusted, who
from tests.support.tokens import ABSENT, NOW, jwk, jwks, needs_ml_dsa, private_key, token

HIDDEN = private_key("ES256", "hidden")
"""The key of an issuer that has the same `kid` as another."""


# ---- what a good token makes ------------------------------------------------------------------------------------------


async def test_a_good_token_makes_a_caller_of_its_claims() -> None:
    caller = await who(token(claims(email="a@example.com", act={"sub": "agent-7"})))
    assert caller is not None
    assert (caller.kind, caller.issuer, caller.subject, caller.client_id) == ("token", CORP, "alice", "ide")
    assert (caller.act, caller.expires) == ({"sub": "agent-7"}, NOW + 60)
    assert caller.claims["email"] == "a@example.com"
    assert (caller.servers, caller.tools, caller.fields) == (None, None, {"user_id": "alice"})


async def test_the_claims_of_a_caller_cannot_be_changed() -> None:
    """I-09."""
    caller = await who(token(claims()))
    assert caller is not None
    with pytest.raises(TypeError):
        caller.claims["sub"] = "mallory"  # type: ignore[index]


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


TENANTS = {f"https://login.example.com/{name}/v2.0": name for name in ("t-1", "t-2")}


def of_tenants() -> TrustedIssuer:
    return trusted(issuers=tuple(TENANTS), tenants=TENANTS)


async def test_j_18_a_token_of_a_tenant_names_it_twice() -> None:
    for issuer, tenant in TENANTS.items():
        caller = await who(token(claims(iss=issuer, tid=tenant)), of_tenants())
        assert caller is not None
        assert caller.issuer == issuer


@pytest.mark.parametrize("tid", ["t-2", "T-1", "t-1 ", "", None, ["t-1"], 1, ABSENT])
async def test_j_18_a_token_whose_tenant_is_another_than_its_issuers_is_refused(tid: Any) -> None:
    issuer = next(iter(TENANTS))
    assert "tid" in await refusal(token(claims(iss=issuer, tid=tid)), of_tenants())


@pytest.mark.parametrize("tenant", ["t-3", "{tenantid}", "common", "", "t-1/x", "T-1", "t-1%20"])
async def test_j_18_a_tenant_that_is_not_listed_is_another_issuer(tenant: str) -> None:
    issuer = f"https://login.example.com/{tenant}/v2.0"
    assert (await refusal(token(claims(iss=issuer, tid=tenant)), of_tenants())).startswith("issuer")


async def test_j_19_one_subject_of_two_tenants_is_two_callers() -> None:
    made = [await who(token(claims(iss=issuer, tid=tenant)), of_tenants()) for issuer, tenant in TENANTS.items()]
    assert len({caller.fingerprint() for caller in made if caller is not None}) == 2


async def test_k_15_two_issuers_that_publish_the_same_keys_are_still_two() -> None:
    """A mix-up at the provider: what one of them signs does not pass for the other's."""
    shared = HeldKeys(jwks("ES256"))
    corp, partner = trusted(CORP, keys=shared), trusted(PARTNER, keys=shared)
    made = [await who(token(claims(iss=issuer)), corp, partner) for issuer in (CORP, PARTNER)]
    assert [caller.issuer for caller in made if caller is not None] == [CORP, PARTNER]
    assert len({caller.fingerprint() for caller in made if caller is not None}) == 2


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


@needs_ml_dsa
async def test_j_03_an_experimental_algorithm_is_refused_even_of_an_issuer_that_publishes_such_a_key() -> None:
    keys = HeldKeys(jwks("ES256", "ML-DSA-44"))
    assert "algorithm" in await refusal(token(claims(), "ML-DSA-44"), trusted(keys=keys))
    assert keys.asked == 0
    assert await who(token(claims()), trusted(keys=keys)) is not None


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


async def test_j_17_a_token_for_all_servers_is_good_at_no_single_one_and_the_other_way_round() -> None:
    of_all = Inbound("POST", "", (), b"", "192.0.2.7")
    assert (await refusal(token(claims()), inbound=of_all)).startswith("audience")
    assert (await refusal(token(claims(aud=f"{OURS}/mcp")))).startswith("audience")
    assert await who(token(claims(aud=f"{OURS}/mcp")), inbound=of_all) is not None
    assert await who(token(claims(aud=[CALLED, f"{OURS}/mcp"])), inbound=of_all) is not None


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


async def test_j_20_an_issuer_may_ask_for_a_type_of_its_own() -> None:
    strict = trusted(types=("at+jwt",), untyped=False)
    assert await who(token(claims(), header={"typ": "application/AT+JWT"}), strict) is not None
    for typ in ("JWT", "id+jwt", ABSENT):
        assert (await refusal(token(claims(), header={"typ": typ}), strict)).startswith("typ")
    typed = trusted(untyped=False)
    assert await who(token(claims(), header={"typ": "JWT"}), typed) is not None
    assert (await refusal(token(claims(), header={"typ": ABSENT}), typed)).startswith("typ")


# ---- times and subjects -----------------------------------------------------------------------------------------------


async def test_j_14_a_token_ends_at_exp_plus_the_leeway() -> None:
    presented = token(claims())
    assert await who(presented, now=NOW + 60 + 29.999) is not None
    assert (await refusal(presented, now=NOW + 60 + 30)).startswith("expired")
    assert await who(presented, now=NOW - 30) is not None
    assert (await refusal(presented, now=NOW - 30.001)).startswith("not_yet_valid")


async def test_j_14_an_issuer_may_have_another_leeway() -> None:
    presented, exact = token(claims()), trusted(leeway=0.0)
    assert await who(presented, exact, now=NOW + 59.999) is not None
    assert (await refusal(presented, exact, now=NOW + 60)).startswith("expired")
    assert (await refusal(presented, exact, now=NOW - 0.001)).startswith("not_yet_valid")
    assert await who(presented, trusted(leeway=60.0), now=NOW + 119.999) is not None


async def test_j_15_an_issuer_may_have_a_longest_life() -> None:
    short = trusted(longest_life=60.0)
    assert await who(token(claims(exp=NOW + 60)), short) is not None
    for changes in ({"exp": NOW + 61}, {"iat": NOW - 1}, {"iat": ABSENT}):
        assert (await refusal(token(claims(**changes)), short)).startswith("lifetime")
        assert await who(token(claims(**changes)), trusted()) is not None
    for impossible in ({"nbf": NOW + 61}, {"iat": NOW + 61}):
        assert (await refusal(token(claims(**impossible)))).startswith("lifetime")


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


async def test_j_32_j_13_a_chain_of_a_thousand_actors_is_refused_by_the_reader() -> None:
    deep = b'{"iss":"%s","act":' % CORP.encode() + b'{"act":' * 1000 + b"{}" + b"}" * 1000 + b"}"
    await refusal(token(deep))


async def test_what_is_wrong_without_a_key_is_401_even_while_keys_cannot_be_had() -> None:
    await refusal("a.b.c", trusted(keys=HeldKeys(None)))


BARE = {"client_id": ABSENT, "scope": ABSENT}


async def test_j_20_a_token_that_nothing_tells_from_an_id_token_is_refused() -> None:
    """A client's own id as the audience makes its ID tokens fit in every other way."""
    for header in ({"typ": "JWT"}, {"typ": ABSENT}):
        for more in ({}, {"azp": "ide", "jti": "1", "nonce": "n", "auth_time": NOW, "email": "a@example.com"}):
            assert (await refusal(token(claims(**BARE, **more), header=header))).startswith("typ: nothing tells it")


@pytest.mark.parametrize(
    "more", [{"scope": ""}, {"scp": ["a"]}, {"client_id": "ide"}, {"cid": "ide"}, {"appid": "1"}, {"azpacr": "1"}]
)
async def test_j_20_what_only_access_tokens_have_tells_it(more: dict[str, Any]) -> None:
    assert await who(token(claims(**{**BARE, **more}), header={"typ": "JWT"})) is not None


async def test_j_20_so_does_the_type_of_an_access_token_or_the_issuers_rule() -> None:
    for typ in ("at+jwt", "application/at+jwt", "AT+JWT"):
        assert await who(token(claims(**BARE), header={"typ": typ})) is not None
    assert await who(token(claims(**BARE), header={"typ": "JWT"}), trusted(bare=True)) is not None
