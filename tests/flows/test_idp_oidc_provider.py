"""Access tokens of the certified `oidc-provider` at a running gateway: `counterseal serve`, and a server that verifies.

The gateway is configured with the provider's `discovery_uri` and nothing more about its keys. What tokens must be for is left to
the default: the address that is called.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import jwt
import pytest

from tests.support import leaks
from tests.support.oidc_provider import CALLBACK, GATEWAY, SCOPE, OidcProvider
from tests.support.process import HANGS, free_port
from tests.support.tokens import LIVES
from tests.support.trusting import Trusting

pytestmark = [pytest.mark.party("oidc-provider", "fastmcp", "pyjwt")]

ALGORITHMS: Final = ("RS256", "ES256", "PS256", "EdDSA")
SCOPES: Final = SCOPE.split()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def idp(port: int) -> Iterator[OidcProvider]:
    """A client of it has the server's address as its id, so that its ID tokens have the audience of an access token."""
    named_like_the_server = {
        "client_id": f"http://127.0.0.1:{port}/mcp/whoami",
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "grant_types": ["authorization_code"],
        "redirect_uris": [CALLBACK],
        "response_types": ["code"],
        "id_token_signed_response_alg": "ES256",
    }
    with OidcProvider(clients=[named_like_the_server]) as running:
        yield running


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, port: int, idp: OidcProvider) -> Iterator[Trusting]:
    secret = tmp_path_factory.mktemp("secret") / "of-the-gateway"
    secret.touch(0o600)
    secret.write_text(GATEWAY.secret)
    introspection = {"endpoint": idp.introspection, "client_id": GATEWAY.id, "client_secret": f"file:{secret}"}
    entry = idp.configuration(
        algorithms=list(ALGORITHMS), required_scopes=SCOPES, leeway=0, introspection=introspection
    )
    with Trusting(tmp_path_factory.mktemp("trusting"), [entry], port=port) as running:
        running.secrets.add(GATEWAY.secret)
        yield running


@pytest.fixture(autouse=True)
def usual(idp: OidcProvider, trusting: Trusting) -> None:
    """Tokens for the server are as they are at the start of every test, whatever another one changed."""
    idp.set(resources={trusting.resource: "ES256"}, seconds=300)


def asked(idp: OidcProvider) -> int:
    return idp.seen().count(("POST", "/token/introspection"))


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "opaque"])
def test_a_token_of_every_kind_reaches_the_server_with_who_is_calling(
    idp: OidcProvider, trusting: Trusting, algorithm: str
) -> None:
    idp.set(resources={trusting.resource: algorithm})
    agent = trusting.call(idp.token(trusting.resource)).claims
    assert (agent["sub"], agent["client_id"]) == ("agent", "agent")
    person = trusting.call(idp.user_tokens(trusting.resource, "bob")["access_token"]).claims
    assert (person["sub"], person["client_id"], person["act"]) == ("bob", "ide", {"sub": trusting.gateway.issuer})
    assert (person["iss"], person["scope"]) == (trusting.gateway.issuer, "mcp:tools/call:whoami")


def for_another_server(idp: OidcProvider, trusting: Trusting) -> str:
    other = trusting.gateway.at("another")
    idp.set(resources={other: "ES256"})
    return idp.token(other)


def of_an_algorithm_that_is_not_configured(idp: OidcProvider, trusting: Trusting) -> str:
    idp.set(resources={trusting.resource: "ES384"})
    return idp.token(trusting.resource)


def id_token(idp: OidcProvider, trusting: Trusting) -> str:
    token: str = idp.user_tokens(trusting.resource, client_id=trusting.resource)["id_token"]
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == trusting.resource
    return token


def with_another_signature(idp: OidcProvider, trusting: Trusting) -> str:
    head, other = idp.token(trusting.resource), idp.token(trusting.resource)
    return f"{head.rpartition('.')[0]}.{other.rpartition('.')[2]}"


def bound_to_a_key(idp: OidcProvider, trusting: Trusting) -> str:
    idp.set(claims={"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})
    token = idp.token(trusting.resource)
    idp.set(claims={})
    return token


BAD: Final[dict[str, Callable[[OidcProvider, Trusting], str]]] = {
    "audience: ": for_another_server,
    "algorithm: ": of_an_algorithm_that_is_not_configured,
    "typ: ": id_token,
    "signature: ": with_another_signature,
    "confirmation: ": bound_to_a_key,
}
"""How the record's detail of a refused token begins, and the token."""


def test_a_token_that_is_one_edit_away_is_refused_and_the_record_says_which_edit(
    idp: OidcProvider, trusting: Trusting
) -> None:
    """J-03, J-17, J-20, J-26, J-31."""
    records = {}
    for begins, bad in BAD.items():
        answered = trusting.refused(bad(idp, trusting), 401, "credential_invalid")
        assert answered.headers["www-authenticate"].endswith(', error="invalid_token"')
        records[begins] = answered.record
        idp.set(resources={trusting.resource: "ES256"})
        assert trusting.call(idp.token(trusting.resource)).status == 200
    told = trusting.refusals()
    assert [begins for begins, record in records.items() if not told[record]["detail"].startswith(begins)] == []


def test_a_token_is_over_when_it_is_over_also_for_a_caller_who_is_known(idp: OidcProvider, trusting: Trusting) -> None:
    """J-16. The second call is one of a remembered caller."""
    for life in LIVES:
        idp.set(seconds=life)
        token = idp.token(trusting.resource)
        expires = jwt.decode(token, options={"verify_signature": False})["exp"]
        statuses = [trusting.call(token).status for _ in range(2)]
        if time.time() < expires:
            break
    assert statuses == [200, 200]
    pause = threading.Event()
    while time.time() < expires:  # nothing to wait on but the clock
        pause.wait(0.02)
    answered = trusting.refused(token, 401, "credential_invalid")
    assert trusting.refusals()[answered.record]["detail"].startswith("expired: ")


def test_a_token_with_too_little_scope_is_told_all_that_it_needs(idp: OidcProvider, trusting: Trusting) -> None:
    answered = trusting.refused(idp.token(trusting.resource, scope="mcp:list"), 403, "insufficient_scope")
    challenge = answered.headers["www-authenticate"]
    assert challenge.startswith('Bearer error="insufficient_scope", scope="mcp:call mcp:list", resource_metadata="')
    caller = trusting.refusals()[answered.record]["caller"]
    assert (caller["subject"], caller["issuer"]) == ("agent", idp.issuer)
    assert trusting.call(idp.token(trusting.resource)).status == 200


def test_an_opaque_token_that_is_not_active_is_refused(idp: OidcProvider, trusting: Trusting) -> None:
    """Revoked, and made up."""
    idp.set(resources={trusting.resource: "opaque"})
    revoked, good = idp.token(trusting.resource), idp.token(trusting.resource)
    idp.revoke(revoked)
    for token in (revoked, "made-up-token-that-nobody-ever-issued"):
        before = asked(idp)
        answered = trusting.refused(token, 401, "credential_invalid")
        assert asked(idp) == before + 1
        assert "not active" in trusting.refusals()[answered.record]["detail"]
    assert trusting.call(good).status == 200


def test_an_opaque_token_for_another_server_is_refused(idp: OidcProvider, trusting: Trusting) -> None:
    other = trusting.gateway.at("another")
    idp.set(resources={trusting.resource: "opaque", other: "opaque"})
    answered = trusting.refused(idp.token(other), 401, "credential_invalid")
    assert trusting.refusals()[answered.record]["detail"].startswith("audience: ")
    assert trusting.call(idp.token(trusting.resource)).status == 200


def test_n_07_what_looks_like_a_jwt_is_never_asked_about(idp: OidcProvider, trusting: Trusting) -> None:
    before = asked(idp)
    for bad in (with_another_signature(idp, trusting), "looks-like-a.token-of-three.parts-but-is-none"):
        trusting.refused(bad, 401, "credential_invalid")
    assert trusting.call(idp.token(trusting.resource)).status == 200
    assert asked(idp) == before
    idp.set(resources={trusting.resource: "opaque"})
    assert trusting.call(idp.token(trusting.resource)).status == 200
    assert asked(idp) == before + 1


def ready(trusting: Trusting) -> dict[str, Any]:
    """The parts of `/readyz`."""
    parts: dict[str, Any] = httpx2.get(f"{trusting.gateway.url}/readyz", timeout=60, trust_env=False).json()
    return parts


def test_k_08_a_provider_that_is_down_at_the_start_is_503_until_it_comes_up(idp: OidcProvider, tmp_path: Path) -> None:
    idp.down("503")
    try:
        with Trusting(tmp_path, [idp.configuration(algorithms=["ES256"])]) as late:
            idp.set(resources={late.resource: "ES256"})
            idp.down("up")
            token = idp.token(late.resource)
            idp.down("503")
            answered = late.refused(token, 503, "identity_unavailable")
            assert "www-authenticate" not in answered.headers
            assert answered.headers["retry-after"] == "2"
            assert "503" in late.refusals()[answered.record]["detail"]
            assert "503" in json.dumps(ready(late))
            idp.down("up")
            deadline = time.monotonic() + HANGS
            pause = threading.Event()
            while (answered := late.call(token)).status == 503:
                assert time.monotonic() < deadline, "it does not notice that the provider is back"
                pause.wait(0.1)
            assert answered.claims["sub"] == "agent"
            assert "503" not in json.dumps(ready(late))
    finally:
        idp.down("up")


@pytest.mark.parametrize("leak", ["whole", "signature", "digest", "half"])
def test_the_search_for_credentials_finds_what_it_is_to_find(leak: str) -> None:
    token, secret = "eyJhbGciOiJF.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "csk_a-secret-of-a-caller"
    spelled = {
        "whole": token,
        "signature": "c2lnbmF0dXJl",
        "digest": hashlib.sha256(token.encode()).hexdigest(),
        "half": "csk_a-secret",
    }
    assert leaks.found({"the log": f"x {spelled[leak]} x".encode()}, [token, secret])
    assert leaks.found({"the log": b"nothing to see"}, [token, secret]) == []
