"""What LiteLLM's signer got wrong about claims, from the configuration file to what the server gets."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from unicodedata import is_normalized

import jwt
import msgspec
import pytest
from hypothesis import given, settings

from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.names import RESERVED, is_plain
from counterseal.core.origins import Origins
from counterseal.core.permit import ClaimsRefused, Denial, Permit
from counterseal.core.scope import decode_name
from counterseal.core.sources import UnfitSubject
from counterseal.errors import CallError, ConfigError
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.wiring import Gateway, open_gateway, prepare
from tests.core.callers import call as a_call
from tests.core.test_claims_properties import _signers, _tools, callers
from tests.gateway.building import built, modern
from tests.gateway.idp import Idp, trusting
from tests.gateway.opening import call, verified, written
from tests.support.hostile import HostileServer
from tests.support.tokens import NOW, vectors

SEEDS_SOURCES: Final = ["sub", "preferred_username", "email", "user_id"]
"""The default of LiteLLM's first version, each of which it also took from a header."""


@asynccontextmanager
async def opened(folder: Path, server: HostileServer, signer: dict[str, Any], **changes: Any) -> AsyncIterator[Gateway]:
    async with open_gateway(written(folder, server, {"signer": signer}, **changes)) as gateway:
        yield gateway


async def refused(gateway: Gateway, **changes: Any) -> CallError:
    with pytest.raises(CallError) as told:
        await call(gateway, **changes)
    return told.value


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted((folder / "audit").iterdir()) for line in file.read_text().splitlines()]


# ---- S2, S15: one call, its scope ---------------------------------------------------------------------------------------


async def test_s2_a_call_token_carries_the_scope_of_its_call_and_no_list(folder: Path, server: HostileServer) -> None:
    """Nor those of all tools that are allowed."""
    signer = {"allowed_tools": ["get_weather", "get_*", "list_things"]}
    async with opened(folder, server, signer) as gateway:
        await call(gateway)
        assert verified(gateway, server)["scope"] == "mcp:tools/call:get_weather"
        await call(gateway, method="tools/list")
        assert verified(gateway, server)["scope"] == "mcp:tools/list"


@pytest.mark.parametrize("profile", [None, "litellm"])
async def test_s15_no_two_tools_share_a_scope(folder: Path, server: HostileServer, profile: str | None) -> None:
    """LiteLLM's rule maps `a.b` and `a_b` to one."""
    names = ["a.b", "a_b", "a b", "a:b", "A.B", "a%2eb"]
    naughty = json.loads((vectors("blns") / "blns.json").read_text())
    names += [name for name in naughty if 0 < len(name) < 40 and is_normalized("NFC", name) and is_plain(name)][:40]
    async with opened(folder, server, {"profile": profile}) as gateway:
        scopes = {}
        for name in dict.fromkeys(names):
            await gateway.handler.handle(_calling(name))
            scopes[verified(gateway, server)["scope"]] = name
        assert len(scopes) == len(set(names)) > 40
        for scope, name in scopes.items():
            last = scope.split(" ")[-1].removeprefix("mcp:tools/").removeprefix("call:").removesuffix(":call")
            assert decode_name(last) == name
            assert len(scope.split(" ")) == (1 if profile is None else 2)


def _calling(name: str) -> Inbound:
    """A call of a tool whose name a header cannot carry as it is."""
    inbound = modern(params={"name": name}, key=None)
    encoded = b"=?base64?" + base64.b64encode(name.encode()) + b"?="
    headers = tuple((one, encoded if one == b"mcp-name" else value) for one, value in inbound.headers)
    return msgspec.structs.replace(inbound, headers=headers, _by_name=None)


# ---- S8: who names the subject ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEEDS_SOURCES)
async def test_s8_a_header_of_the_callers_is_no_identity(
    folder: Path, server: HostileServer, idp: Idp, name: str
) -> None:
    async with opened(folder, server, {"end_user_claim_sources": SEEDS_SOURCES}, **trusting(idp.issuer())) as gateway:
        for sent in (name, name.title(), name.replace("_", "-")):
            inbound = modern("tools/call", None, (sent.lower().encode(), b"mallory"), key=idp.token())
            await gateway.handler.handle(gateway.identity_headers.admitted(inbound))
            assert verified(gateway, server)["sub"] == "alice"
            assert b"mallory" not in server.seen[-1].raw


def test_s8_a_header_as_a_source_needs_somebody_who_may_send_it(folder: Path, server: HostileServer) -> None:
    def signed(**signer: Any) -> Path:
        return written(folder, server, {"signer": {"end_user_claim_sources": ["header:x-user"], **signer}})

    with pytest.raises(ConfigError, match="nobody is trusted to send it"):
        asyncio.run(prepare(signed()))
    asyncio.run(prepare(signed(trust_identity_headers_from=["10.0.0.5"])))


# ---- S9, and number 8 of what nobody had reported: reserved claims ------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RESERVED))
@pytest.mark.parametrize("operation", ["add_claims", "set_claims", "remove_claims"])
def test_s9_a_configuration_that_touches_a_reserved_claim_does_not_start(
    folder: Path, server: HostileServer, operation: str, name: str
) -> None:
    """LiteLLM overrides `iss` with one of these, and crashes at every call with `remove_claims: [exp]` or `act` set to a text."""
    value: Any = [name] if operation == "remove_claims" else {name: "x"}
    with pytest.raises(ConfigError, match=f"names the reserved claim `{name}`") as told:
        asyncio.run(prepare(written(folder, server, {"signer": {operation: value}})))
    assert f"servers.weather.signer.{operation}" in str(told.value)


# ---- S10: the mode ------------------------------------------------------------------------------------------------------


async def test_s10_where_a_token_is_required_an_api_key_is_refused_and_so_is_nobody(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    callers = {"api_keys": True, "anonymous": True, "issuers": [idp.issuer()]}
    async with opened(folder, server, {"mode": "verify_and_resign"}, callers=callers) as gateway:
        error = await refused(gateway)
        assert (error.reason.code, error.reason.status, error.reason.rpc) == ("token_required", 403, 40308)
        assert records(folder)[-1]["rule"].startswith("servers.weather.signer.mode (counterseal.yaml:")
        assert server.calls == 0
        await call(gateway, key=idp.token())
        assert verified(gateway, server)["sub"] == "alice"


@pytest.mark.parametrize("bad", ["expired", "empty", "none of the sources"])
async def test_s10_a_token_that_says_nobody_is_not_replaced_by_anybody(
    folder: Path, server: HostileServer, idp: Idp, bad: str
) -> None:
    """LiteLLM looks at whether there are claims, and falls back to the key where there are none."""
    signer = {"mode": "verify_and_resign", "end_user_claim_sources": ["preferred_username"]}
    callers = {"api_keys": True, "anonymous": True, "issuers": [idp.issuer()]}
    async with opened(folder, server, signer, callers=callers) as gateway:
        presented, reason = {
            "expired": (idp.token(iat=1, exp=2), "credential_invalid"),
            "empty": (idp.token(sub=""), "credential_invalid"),
            "none of the sources": (idp.token(), "claim_unavailable"),
        }[bad]
        assert (await refused(gateway, key=presented)).reason.code == reason
        assert server.calls == 0
        await call(gateway, key=idp.token(preferred_username="al"))
        assert verified(gateway, server)["sub"] == "al"


# ---- S11: nothing made of a credential ----------------------------------------------------------------------------------


async def test_s11_a_key_without_a_subject_of_its_own_is_named_by_its_random_id(
    folder: Path, server: HostileServer
) -> None:
    """The search of every byte for what could be made of a key is in test_canaries.py."""
    async with built(server) as gateway:
        nameless = Caller(kind="api_key", client_id="k-random")
        verdict = await gateway.pipeline.permit(nameless, a_call(name="t"))
        assert isinstance(verdict, Permit)
        assert (verdict.claims["sub"], verdict.claims["client_id"]) == ("apikey:k-random", "k-random")


# ---- FR-13, FR-15: operations and requirements --------------------------------------------------------------------------

OPERATIONS: Final = {
    "required_claims": ["tenant", {"name": "realm_access.roles", "values": ["admin", "editor"]}],
    "optional_claims": ["department", "missing"],
    "add_claims": {"department": "unknown", "level": "{claim.level:int|0}"},
    "set_claims": {"app.tenant": "{claim.tenant}", "app.tool": "{call.name|-}", "roles": "{claim.realm_access.roles}"},
    "remove_claims": ["realm_access"],
}
HELD: Final = {"tenant": "acme", "realm_access": {"roles": ["editor", "viewer"]}, "level": "7", "secret": "s"}


async def test_nested_roles_are_asked_for_mapped_and_arrive_as_configured(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    async with opened(folder, server, OPERATIONS, **trusting(idp.issuer())) as gateway:
        await call(gateway, key=idp.token(**HELD))
        claims = verified(gateway, server)
        assert {name: claims[name] for name in claims.keys() - RESERVED} == {
            "tenant": "acme",
            "department": "unknown",
            "level": 7,
            "app": {"tenant": "acme", "tool": "get_weather"},
            "roles": ["editor", "viewer"],
        }
        await call(gateway, method="tools/list", key=idp.token(**HELD, department="sales"))
        claims = verified(gateway, server)
        assert (claims["department"], claims["app"]["tool"]) == ("sales", "-")


async def test_fr15_every_claim_that_is_missing_is_named_at_once_with_where_it_should_come_from(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    async with opened(folder, server, OPERATIONS, **trusting(idp.issuer())) as gateway:
        error = await refused(gateway, key=idp.token(tenant="", realm_access={"roles": ["viewer"]}))
        assert (error.reason.code, error.reason.status, error.reason.rpc) == ("required_claim_missing", 403, 40310)
        assert "`tenant`, `realm_access.roles` (of an expected value)" in error.message
        assert idp.origin in error.message
        assert "admin" not in error.message
        assert records(folder)[-1]["rule"].startswith("servers.weather.signer.required_claims[0] (counterseal.yaml:")
        assert server.calls == 0


async def test_fr13_a_value_that_cannot_be_made_does_not_vanish(folder: Path, server: HostileServer, idp: Idp) -> None:
    signer = {"set_claims": {"tenant": "{claim.tenant}"}}
    async with opened(folder, server, signer, **trusting(idp.issuer())) as gateway:
        error = await refused(gateway, key=idp.token())
        assert (error.reason.code, error.reason.status, error.reason.rpc) == ("claim_unavailable", 403, 40309)
        assert error.message == "the claim `tenant` of the call token cannot be made: `claim.tenant` says nothing"
        assert records(folder)[-1]["rule"].startswith("servers.weather.signer.set_claims.tenant (counterseal.yaml:")
        await call(gateway, key=idp.token(tenant="acme"))
        assert verified(gateway, server)["tenant"] == "acme"


async def test_i_10_many_groups_are_refused_and_not_cut_off(folder: Path, server: HostileServer, idp: Idp) -> None:
    async with opened(folder, server, {"optional_claims": ["groups"]}, **trusting(idp.issuer())) as gateway:
        many = [f"group-{number:030}" for number in range(200)]
        assert (await refused(gateway, key=idp.token(groups=many[:110]))).reason.code == "call_token_too_large"
        await call(gateway, key=idp.token(groups=many[:50]))
        assert verified(gateway, server)["groups"] == many[:50]


async def test_claim_minimisation_nothing_of_a_token_leaves_that_nobody_configured(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    """docs/call-token.md, for each profile and server on its own."""
    held = {
        **HELD,
        "email": "canary@x",
        "email_verified": True,
        "name": "canary",
        "groups": ["canary"],
        "sid": "canary",
    }
    async with opened(folder, server, {}, **trusting(idp.issuer(claims={"groups": "groups"}))) as gateway:
        await call(gateway, key=idp.token(**held))
        claims = verified(gateway, server)
        assert claims.keys() == RESERVED - {"azp", "cnf"}
        assert "canary" not in json.dumps(claims)


# ---- FR-10: scopes ------------------------------------------------------------------------------------------------------


async def test_fr10_a_call_whose_scope_no_token_may_hold_is_refused_and_not_listed(
    folder: Path, server: HostileServer
) -> None:
    scopes = ["mcp:tools/list", "mcp:tools/call:get_*"]
    async with opened(folder, server, {"allowed_scopes": scopes}) as gateway:
        await call(gateway)
        error = await refused(gateway, params={"name": "delete_all"})
        assert (error.reason.code, error.reason.status, error.reason.rpc) == ("scope_not_allowed", 403, 40311)
        assert "mcp:tools/call:delete_all" in error.message
        assert not any(name == b"www-authenticate" for name, _ in error.headers)
        shown = (await call(gateway, method="tools/list"))["result"]["tools"]
        assert {tool["name"] for tool in shown} == {"get_weather"}
        assert (await refused(gateway, method="prompts/list")).reason.code == "scope_not_allowed"


# ---- LiteLLM's shape ----------------------------------------------------------------------------------------------------


async def test_a_server_that_checks_litellms_tokens_gets_that_shape(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    trusted = trusting(idp.issuer(claims={"team": "team"}))
    held = {"team": "data", "email": "a@x", "email_verified": True, "end_user_id": "claimed"}
    async with opened(folder, server, {"profile": "litellm"}, **trusted) as gateway:
        await call(gateway, key=idp.token(**held))
        header, claims = jwt.get_unverified_header(server.seen[-1].token), verified(gateway, server)
        assert header.keys() == {"alg", "typ", "kid"}
        assert header["typ"] == "JWT"
        assert claims["scope"] == "mcp:tools/call mcp:tools/get_weather:call"
        assert (claims["act"], claims["email"], claims["aud"]) == ({"sub": "data"}, "a@x", server.url)
        assert claims.keys() - RESERVED == {"email"}
        assert claims["jti"]


# ---- pairwise subjects --------------------------------------------------------------------------------------------------


async def test_a_pairwise_subject_survives_a_restart_and_the_record_has_the_real_one(
    folder: Path, server: HostileServer, idp: Idp
) -> None:
    subs = []
    for _ in range(2):
        async with opened(folder, server, {"subject": "pairwise"}, **trusting(idp.issuer())) as gateway:
            await call(gateway, key=idp.token())
            subs.append(verified(gateway, server)["sub"])
    assert subs[0] == subs[1]
    assert re.fullmatch(r"pw:[A-Za-z0-9_-]{43}", subs[0])
    assert b"alice" not in base64.urlsafe_b64decode(server.seen[-1].token.split(".")[1] + "==")
    intent = next(entry for entry in records(folder) if entry["event"] == "intent")
    assert (intent["sub"], intent["sub_of"], intent["caller"]["subject"]) == (subs[0], "alice", "alice")


# ---- explain and mint ---------------------------------------------------------------------------------------------------


def test_what_is_explained_is_what_is_minted(server: HostileServer) -> None:
    """Whatever the configuration and whoever calls: `Pipeline.permit` and the same function with its origins noted."""
    with asyncio.Runner() as runner:
        entered = built(server)
        gateway = runner.run(entered.__aenter__())

        @settings(max_examples=60, deadline=None)
        @given(callers(), _signers, _tools)
        def equal(caller: Caller, signer: SignerSettings, tool: str) -> None:
            asked = a_call(name=tool, arguments={"city": "Oslo"})
            ids = iter(["J", "T"])
            pipeline = dataclasses.replace(gateway.pipeline, signers={"weather": signer}, new_id=lambda: next(ids))
            verdict = runner.run(_outcome(pipeline, caller, asked))
            explained = _explained(caller, asked, signer)
            if isinstance(verdict, Permit):
                assert verdict.claims == explained
                minted = verdict.token.split(".")
                assert json.loads(base64.urlsafe_b64decode(minted[1] + "==")) == explained
                header = json.loads(base64.urlsafe_b64decode(minted[0] + "=="))
                assert header["typ"] == signer.profile.typ
            elif verdict is not None:
                assert explained == verdict

        try:
            equal()
        finally:
            runner.run(entered.__aexit__(None, None, None))


async def _outcome(pipeline: Pipeline, caller: Caller, asked: Call) -> Any:
    """The permit, or the reason that there is none; None for a token that would be too large."""
    try:
        verdict = await pipeline.permit(caller, asked)
    except CallError as error:
        return None if error.reason.code == "call_token_too_large" else error.detail
    return verdict.reason if isinstance(verdict, Denial) else verdict


def _explained(caller: Caller, asked: Call, signer: SignerSettings) -> Any:
    try:
        return build_claims(caller, asked, signer, now=NOW, jti="J", txn="T", origins=Origins())
    except ClaimsRefused as refused:
        return refused.denial.reason
    except UnfitSubject as error:
        return str(error)
