"""How the gateway shows an identity provider who it is: each way as its RFC writes it, and no secret anywhere else."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from urllib.parse import unquote_plus

import pytest

from counterseal.core.limits import LIMITS
from counterseal.gateway.ids import Ids
from counterseal.identity.client_auth import ASSERTION_TYPE, Basic, ClientAuth, Post, PrivateKeyJwt
from counterseal.issuer.signers.local import LocalSigner
from counterseal.jose import jws, strict
from counterseal.jose.jwk import read_jwks
from tests.support.tokens import NOW, FixedClock, private_key

URL = "https://idp.example.com/introspect"
CANARY = "secret-canary-5d1c"
SECRETS = ["plain", "a:b", "100%", "%41", "a+b c", "&client_id=other", "schlüssel", "鍵", "🔑", 'quote"', "a\r\nb", "="]


def private_key_jwt(
    algorithm: str = "ES256", clock: FixedClock | None = None, audience: str | None = None
) -> PrivateKeyJwt:
    signer = LocalSigner(private_key(algorithm), algorithm)
    return PrivateKeyJwt(
        "gw",
        signer.sign,
        kid=signer.kid,
        algorithm=algorithm,
        clock=clock or FixedClock(),
        new_id=Ids().new,
        audience=audience,
    )


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("client_id", ["gw", "https://gw.example.com/id", "a:b", "ключ"])
async def test_basic_encodes_both_parts_before_it_joins_them(client_id: str, secret: str) -> None:
    """RFC 6749 section 2.3.1: else a colon in the id would end it, and a percent sign would change the secret."""
    proof = await Basic(client_id, secret).prove(URL)
    ((name, value),) = proof.headers
    assert (name, proof.form) == ("Authorization", ())
    scheme, _, encoded = value.partition(" ")
    parts = base64.b64decode(encoded, validate=True).decode("ascii").split(":")
    assert scheme == "Basic"
    assert [unquote_plus(part) for part in parts] == [client_id, secret]


async def test_basic_is_what_rfc_6749_shows() -> None:
    proof = await Basic("s6BhdRkqt3", "gX1fBat3bV").prove(URL)
    assert proof.headers == (("Authorization", "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"),)


@pytest.mark.parametrize("secret", SECRETS)
async def test_post_leaves_the_encoding_to_whoever_sends_the_form(secret: str) -> None:
    proof = await Post("gw", secret).prove(URL)
    assert (proof.form, proof.headers) == ((("client_id", "gw"), ("client_secret", secret)), ())


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_an_assertion_is_signed_and_says_what_rfc_7523_asks_for(algorithm: str) -> None:
    proof = await private_key_jwt(algorithm).prove(URL)
    form = dict(proof.form)
    assert (form["client_assertion_type"], proof.headers) == (ASSERTION_TYPE, ())
    signer = LocalSigner(private_key(algorithm), algorithm)
    unverified = strict.read(form["client_assertion"], LIMITS)
    keys = read_jwks(json.dumps({"keys": [dict(signer.public_jwk)]}).encode(), LIMITS)
    verified = jws.verify(unverified, keys.find(unverified))
    assert (verified.alg, verified.kid, verified.typ) == (algorithm, signer.kid, "JWT")
    claims = dict(verified.claims)
    assert len(base64.urlsafe_b64decode(claims.pop("jti") + "==")) == 16
    assert claims == {"iss": "gw", "sub": "gw", "aud": URL, "iat": NOW, "exp": NOW + 60}


async def claims_of(auth: PrivateKeyJwt) -> dict[str, object]:
    assertion = dict((await auth.prove(URL)).form)["client_assertion"]
    return dict(strict.for_display_only(assertion, LIMITS)[1])


async def test_no_two_assertions_are_alike_and_each_is_of_its_own_time() -> None:
    clock = FixedClock()
    auth = private_key_jwt(clock=clock)
    first, second = await claims_of(auth), await claims_of(auth)
    assert first["jti"] != second["jti"]
    clock.advance(30.7)
    assert (await claims_of(auth))["exp"] == NOW + 90


async def test_an_assertion_may_be_for_another_audience_than_the_address() -> None:
    assert (await claims_of(private_key_jwt(audience="https://idp.example.com")))["aud"] == "https://idp.example.com"
    assert (await claims_of(private_key_jwt()))["aud"] == URL


@pytest.mark.parametrize("made", [Basic("gw", CANARY), Post("gw", CANARY), private_key_jwt()], ids=repr)
async def test_n_06_a_secret_is_in_no_repr_copy_or_pickle(made: ClientAuth) -> None:
    proof = await made.prove(URL)
    for said in (repr(made), str(made), f"{made}", repr(proof), repr([made])):
        assert CANARY not in said
        assert base64.b64encode(CANARY.encode()).decode()[:12] not in said
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as told:
            copied(made)
        assert CANARY not in str(told.value)


@pytest.mark.parametrize("kind", [Basic, Post])
@pytest.mark.parametrize(("client_id", "secret"), [("", "secret"), ("gw", "")])
def test_a_client_without_an_id_or_a_secret_is_refused(
    kind: type[Basic] | type[Post], client_id: str, secret: str
) -> None:
    with pytest.raises(ValueError, match="may be empty"):
        kind(client_id, secret)
    kind("gw", "secret")
