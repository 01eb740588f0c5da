"""`counterseal check --online` and the certified `oidc-provider`: what it says of one that is well, and of one that is not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.gateway import COMMAND
from tests.support.oidc_provider import GATEWAY, OidcProvider

pytestmark = [pytest.mark.party("oidc-provider")]

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def idp() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


def checked(folder: Path, idp: OidcProvider, *arguments: str, secret: str = GATEWAY.secret, **changes: Any) -> Any:
    """The whole command, as a process. changes: of the issuer's entry."""
    entry = {
        "name": "certified",
        "discovery_uri": idp.discovery,
        "allow_insecure_loopback": True,
        "algorithms": ["RS256", "ES256", "PS256", "EdDSA"],
        "introspection": {"endpoint": idp.introspection, "client_id": GATEWAY.id, "client_secret": "env:SECRET"},
        **changes,
    }
    channel = {"channel_token_discovery_uri": idp.discovery, "channel_token_allow_insecure_loopback": True}
    document = {
        "issuer": "https://gateway.example.com",
        "callers": {"issuers": [entry]},
        "servers": {"weather": {"url": "https://weather.example.com/mcp", "signer": channel}},
    }
    path = folder / "counterseal.yaml"
    path.write_text(yaml.safe_dump(document))
    command = [COMMAND, "check", str(path), "--online", *arguments]
    environment = {**os.environ, "SECRET": secret}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert secret not in done.stdout
    return done


def problems(done: Any) -> list[str]:
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    return [line.removeprefix("problem ") for line in lines if line.startswith("problem ")]


def test_a_provider_that_is_well_has_a_key_for_each_algorithm_and_knows_our_client(
    tmp_path: Path, idp: OidcProvider
) -> None:
    before = len(idp.seen())
    done = checked(tmp_path, idp)
    assert (done.returncode, problems(done)) == (0, []), done.stdout
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        f"ok issuer {idp.issuer}, equal to the byte",
        *(f"ok {name} 1 key" for name in ("RS256", "ES256", "PS256", "EdDSA")),
        "ok clock within the leeway of 30 s",
        f"ok answer {idp.introspection} answers the gateway's client, and a made-up token is not active there",
        "channel weather",
        "online: ok",
    ):
        assert line in lines, done.stdout
    assert sorted(idp.seen()[before:]) == [
        ("GET", DISCOVERY),
        ("GET", "/jwks"),
        ("POST", "/token/introspection"),
    ]


def test_what_it_does_not_sign_with_is_told_and_rotation_is_seen(tmp_path: Path, idp: OidcProvider) -> None:
    done = checked(tmp_path, idp, algorithms=["ES512"])
    assert done.returncode == 1
    assert [line.partition(" ")[0] for line in problems(done)] == ["algorithms", "keys"]
    idp.rotate("publish")
    certified, _, _ = json.loads(checked(tmp_path, idp, "--json").stdout)["online"]
    keys = {line["about"]: line["keys"] for line in certified["lines"] if "keys" in line}
    assert keys == {"RS256": 2, "ES256": 2, "PS256": 2, "EdDSA": 2}


def test_a_wrong_secret_of_our_own_is_told_as_such(tmp_path: Path, idp: OidcProvider) -> None:
    done = checked(tmp_path, idp, secret="c4n4ry-secret")
    assert (done.returncode, problems(done)) == (
        1,
        [
            f"answer {idp.introspection}: the answer's status is 401: it does not accept the gateway's own client credentials, "
            "so check them"
        ],
    )


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("503", "the answer's status is 503"),
        ("reset", "the server closed the connection"),
        ("hang", "no end in time"),
    ],
)
def test_a_provider_that_is_down_is_told_and_another_beside_it(
    tmp_path: Path, idp: OidcProvider, how: Any, sentence: str
) -> None:
    idp.down(how)
    try:
        done = checked(tmp_path, idp)
        told = f"discovery {idp.discovery}: {sentence}"
        assert (done.returncode, problems(done)) == (
            1,
            [told, f"answer {idp.introspection}: {sentence}", told],
        )
    finally:
        idp.down("up")
    assert checked(tmp_path, idp).returncode == 0
