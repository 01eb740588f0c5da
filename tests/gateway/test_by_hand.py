"""A token by hand is one like any other: the same decision, a record first, and good once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.errors import CallError, ConfigError
from counterseal.gateway.asked import NOWHERE, Asked
from counterseal.gateway.by_hand import ByHand, mint
from counterseal.gateway.wiring import open_gateway
from tests.gateway.opening import ISSUER, document, written
from tests.gateway.test_explaining import KEY, with_key
from tests.support.hostile import HostileServer


async def minted(path: Path, ttl: int | None = None, **changes: Any) -> ByHand:
    asked = Asked(**{"server": "weather", "method": "tools/call", "name": "get_weather", "arguments": {}, **changes})
    return await mint(load(path), asked, SystemClock(), ttl=ttl)


def entries(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted((folder / "audit").iterdir()) for line in path.read_text().splitlines()]
    return [entry for entry in map(json.loads, lines) if "record" in entry]


@pytest.mark.parametrize("ttl", [None, 5])
async def test_it_verifies_with_the_keys_of_the_gateway_and_is_in_the_records(
    server: HostileServer, tmp_path: Path, ttl: int | None
) -> None:
    path = written(tmp_path, server)
    made = await minted(path, ttl)
    async with open_gateway(path, background=False) as gateway:
        keys = jwt.PyJWKSet.from_dict(document(gateway, "jwks.json"))
    claims = jwt.decode(made.permit.token, keys.keys[0], ["ES256"], audience=server.url, issuer=ISSUER)
    assert claims == made.permit.claims
    assert claims["exp"] - claims["iat"] == (ttl or 60)
    (entry,) = entries(tmp_path)
    assert (entry["event"], entry["record"], entry["peer"]) == ("mint", made.record, NOWHERE)
    assert (entry["jti"], entry["rule"]) == (claims["jti"], made.permit.allowed.rule)
    assert server.calls == 0
    assert made.permit.token not in repr(made)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"policy": []}, "policy_denied"), ({"callers": {"api_keys": True}}, "credential_missing")],
)
async def test_what_is_refused_is_not_minted_and_is_recorded(
    server: HostileServer, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CallError) as told:
        await minted(written(tmp_path, server, **changes))
    assert told.value.reason.code == reason
    (entry,) = entries(tmp_path)
    assert (entry["event"], entry["reason"], entry["record"]) == ("refusal", reason, told.value.record)


async def test_no_token_is_minted_for_a_key_that_was_revoked(server: HostileServer, tmp_path: Path) -> None:
    path = written(tmp_path, server, callers={"api_keys": True})
    await with_key(path, revoked=2.0)
    await with_key(path, id="b" * 12)
    assert (await minted(path, key="b" * 12)).permit.claims["sub"] == "alice"
    with pytest.raises(CallError) as told:
        await minted(path, key=KEY)
    assert told.value.reason.code == "credential_invalid"
    assert "revoked" in (told.value.detail or "")


async def test_keys_that_nobody_else_has_sign_nothing_by_hand(server: HostileServer, tmp_path: Path) -> None:
    path = written(tmp_path, server, store="memory:")
    with pytest.raises(ConfigError, match="sqlite:PATH"):
        await minted(path)
