"""A tool call of LiteLLM's leaves with our token and a record, or not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jwt
import pytest

from counterseal.core.canonical import arguments_digest
from counterseal.errors import CallError
from counterseal.hooks import Replace
from counterseal.integrations.litellm.running import look
from tests.integrations.litellm.opening import ISSUER, URL, Opened, key, opened, written


def claims(signed: Any, header: str = "Authorization") -> dict[str, Any]:
    token = dict(signed.headers)[header].removeprefix("Bearer ")
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def test_the_token_is_for_this_server_this_tool_and_these_arguments(tmp_path: Path) -> None:
    async with opened(tmp_path) as made:
        signed = await made()
        assert signed is not None
        said = claims(signed)
        assert (said["iss"], said["aud"], said["sub"], said["act"]) == (ISSUER, URL, "alice", {"sub": "data"})
        assert said["scope"] == "mcp:tools/call:get_weather"
        assert said["authorization_details"][0]["arguments_digest"] == arguments_digest({"city": "Oslo"})
        assert signed.arguments is None
        made.records.ended("call-1", "answered", 200)
    intent, outcome = made.entries()
    assert (intent["event"], intent["jti"], intent["peer"]) == ("intent", said["jti"], "litellm")
    assert (outcome["event"], outcome["outcome"], outcome["record"]) == ("outcome", "answered", signed.record)


async def test_it_verifies_with_the_keys_that_are_served(tmp_path: Path) -> None:
    documents = look(written(tmp_path))
    async with opened(tmp_path) as made:
        signed = await made()
    assert signed is not None
    token = dict(signed.headers)["Authorization"].removeprefix("Bearer ")
    keys = jwt.PyJWKSet.from_json(documents["/counterseal/.well-known/jwks.json"].decode())
    kid = jwt.get_unverified_header(token)["kid"]
    assert jwt.decode(token, keys[kid], ["RS256", "ES256"], audience=URL, issuer=ISSUER)["sub"] == "alice"


async def test_a_header_of_its_own_holds_the_bare_token(tmp_path: Path) -> None:
    servers = {"weather": {"url": URL, "signer": {"header": "X-Call-Token"}}}
    async with opened(tmp_path, servers=servers) as made:
        signed = await made()
        assert signed is not None
        assert [name for name, _ in signed.headers] == ["X-Call-Token"]
        assert claims(signed, "X-Call-Token")["aud"] == URL


async def test_names_of_litellms_servers_are_mapped_and_those_left_alone_are_not_recorded(tmp_path: Path) -> None:
    parameters = {"counterseal_servers": {"wetter": "weather"}, "counterseal_unsigned_servers": ["files"]}
    async with opened(tmp_path, parameters) as made:
        signed = await made(server="wetter")
        assert signed is not None
        assert claims(signed)["aud"] == URL
        assert await made(server="files") is None
        with pytest.raises(CallError) as told:
            await made(server="crm")
        assert told.value.reason.code == "server_unknown"
    assert [entry["server"] for entry in made.entries() if entry["event"] != "outcome"] == ["weather", "crm"]


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"name": "delete_all"}, "policy_denied"),
    ({}, {"auth": None}, "credential_invalid"),
    ({}, {"auth": key(token=None)}, "credential_invalid"),
    ({}, {"auth": key(user_id="apikey:k1")}, "credential_invalid"),
    ({}, {"auth": key(user_id="ali\u202ece")}, "credential_invalid"),
    ({}, {"name": "e\u0301"}, "invalid_params"),
    ({"counterseal_callers": "tokens"}, {}, "credential_missing"),
    ({"counterseal_callers": "tokens"}, {"bearer": "a.b.c"}, "credential_invalid"),
    ({"counterseal_callers": "tokens"}, {"bearer": "a b"}, "credential_invalid"),
    ({"counterseal_callers": "tokens_or_litellm"}, {"bearer": "a.b.c"}, "credential_invalid"),
]


@pytest.mark.parametrize(("parameters", "call", "reason"), REFUSED)
async def test_what_is_refused_is_recorded_and_not_signed(
    tmp_path: Path, parameters: dict[str, Any], call: dict[str, Any], reason: str
) -> None:
    async with opened(tmp_path, parameters) as made:
        with pytest.raises(CallError) as told:
            await made(**call)
        assert told.value.reason.code == reason
        assert len(made.records) == 0
    (entry,) = made.entries()
    assert (entry["event"], entry["reason"], entry["record"]) == ("refusal", reason, told.value.record)
    async with opened(tmp_path) as twin:
        assert await twin() is not None


@pytest.mark.parametrize("bearer", [None, "sk-of-carol"])
async def test_without_a_token_litellms_word_counts_where_it_may(tmp_path: Path, bearer: str | None) -> None:
    """The key by which LiteLLM let its client in is no token of anybody's."""
    auth = key(token=None, api_key="sk-of-carol", user_id="carol")
    async with opened(tmp_path, {"counterseal_callers": "tokens_or_litellm"}) as made:
        signed = await made(auth=auth, bearer=bearer)
        assert signed is not None
        assert claims(signed)["sub"] == "carol"


async def test_a_channel_token_that_cannot_be_verified_refuses_the_call(tmp_path: Path) -> None:
    signer = {"channel_token_required": True, "channel_token_issuer": "https://idp.example.com"}
    signer |= {"channel_token_jwks_uri": "https://idp.example.com/keys", "channel_token_audience_in": "litellm"}
    async with opened(tmp_path, servers={"weather": {"url": URL, "signer": signer}}) as made:
        for headers, reason in (({}, "channel_token_missing"), ({"x-channel-token": "x"}, "channel_token_invalid")):
            with pytest.raises(CallError) as told:
                await made(headers=headers)
            assert told.value.reason.code == reason


async def test_concurrent_calls_open_one_set_of_parts_and_keep_apart(tmp_path: Path) -> None:
    async with opened(tmp_path) as made:

        async def one(number: int) -> dict[str, Any]:
            name = f"user{number}"
            return claims(await made(id=name, auth=key(user_id=name, token=name), arguments={"city": name}))

        found = await asyncio.gather(*map(one, range(50)))
        assert [one["sub"] for one in found] == [f"user{number}" for number in range(50)]
        digests = [one["authorization_details"][0]["arguments_digest"] for one in found]
        assert digests == [arguments_digest({"city": f"user{number}"}) for number in range(50)]
        assert len({one["jti"] for one in found}) == 50
    assert len(list((tmp_path / "audit").iterdir())) == 1


class Gate:
    """Replaces the arguments by those that a test chose."""

    def __init__(self, **settings: Any) -> None:
        self._arguments = dict(settings.get("arguments", {}))

    async def check(self, view: Any) -> Any:
        return Replace(self._arguments)


@pytest.mark.parametrize(("replaced", "reason"), [({"city": "Bergen"}, None), ({}, "hook_failed")])
async def test_what_a_gate_replaces_is_what_litellm_is_told_to_send(
    tmp_path: Path, replaced: dict[str, Any], reason: str | None
) -> None:
    hooks = [{"use": f"{__name__}:Gate", "with": {"arguments": replaced}}]
    async with opened(tmp_path, hooks=hooks) as made:
        if reason is None:
            signed = await made()
            assert signed is not None
            assert signed.arguments == replaced
            assert claims(signed)["authorization_details"][0]["arguments_digest"] == arguments_digest(replaced)
        else:
            with pytest.raises(CallError) as told:
                await made()
            assert told.value.reason.code == reason
            assert [entry["event"] for entry in made.entries()] == ["refusal"]


async def test_without_a_record_nothing_is_signed(tmp_path: Path) -> None:
    async with opened(tmp_path) as made:
        assert await made() is not None
        await (await made.sign._running()).parts.pipeline.recorder._sink.close()  # type: ignore[attr-defined]
        with pytest.raises(CallError) as told:
            await made(id="call-2")
        assert told.value.reason.code == "audit_unavailable"
        assert len(made.records) == 1


async def test_parts_that_cannot_be_opened_refuse_calls_until_they_can(tmp_path: Path) -> None:
    async with opened(tmp_path) as made:
        (tmp_path / "audit").write_text("in the way")
        with pytest.raises(CallError) as told:
            await made()
        assert told.value.reason.status == 503
        (tmp_path / "audit").unlink()
        assert await made() is not None


async def test_secrets_are_in_no_repr_and_in_no_record(tmp_path: Path) -> None:
    async with opened(tmp_path) as made:
        signed = await made(auth=key(token="sk-secret"))
        assert signed is not None
        token = dict(signed.headers)["Authorization"].removeprefix("Bearer ")
        assert token not in repr(signed)
    text = "".join(path.read_text() for path in (tmp_path / "audit").iterdir())
    assert token not in text
    assert "sk-secret" not in text
    assert "Oslo" not in text


async def test_what_is_open_at_the_end_is_unknown(tmp_path: Path) -> None:
    async with opened(tmp_path) as made:
        await made()
        assert isinstance(made, Opened)
        assert len(made.records) == 1
    assert [(entry["event"], entry.get("outcome")) for entry in made.entries()] == [
        ("intent", None),
        ("outcome", "unknown"),
    ]
