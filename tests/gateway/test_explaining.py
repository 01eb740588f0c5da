"""What is explained is what happens: the same decision and the same claims, with nothing sent and nothing signed."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.audit.sinks import MemorySink
from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.core.caller import Caller
from counterseal.core.claims import SignerSettings
from counterseal.core.limits import LIMITS
from counterseal.core.methods import METHODS
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Denial, Permit
from counterseal.core.policy import Policy, Rule
from counterseal.errors import CallError
from counterseal.gateway.admission import Admission
from counterseal.gateway.asked import Asked
from counterseal.gateway.explaining import TOKEN, Explained, decided, explain
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.recorder import Recorder
from counterseal.gateway.wiring import open_gateway
from counterseal.identity.identify import Identify
from counterseal.issuer.mint import Mint
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.dry import DrySigner
from counterseal.issuer.signers.local import LocalSigner
from counterseal.store.open import open_store
from counterseal.store.port import ApiKeyRow
from counterseal.wire.rounds import TASKS
from tests.core.callers import call
from tests.core.test_claims_properties import _signers, _tools, callers
from tests.gateway.opening import call as make_call
from tests.gateway.opening import verified, written
from tests.gateway.test_identity_wiring import Idp, trusting
from tests.support.hostile import HostileServer
from tests.support.tokens import FixedClock, private_key

KEY = "a" * 12


# ---- explain == mint ------------------------------------------------------------------------------------------------


def pipeline(signer: SignerSettings, policy: Policy, *, dry: bool) -> Pipeline:
    """The real one with clock and ids that are given; dry as `open_parts` makes it."""
    real = LocalSigner(private_key("ES256"), "ES256")
    clock, numbers = FixedClock(), itertools.count()

    def new_id() -> str:
        return f"id-{next(numbers)}"

    def nothing(*_: Any) -> Any:
        raise AssertionError

    return Pipeline(
        identify=Identify([], anonymous=True, issuer="https://gateway.example.com"),
        admission=Admission(LIMITS),
        decode=nothing,
        policy=policy,
        signers={"weather": signer},
        mint=Mint(KeyRing.of([DrySigner(real) if dry else real]), LIMITS),
        servers={},
        recorder=Recorder(MemorySink(), clock, bytes(32), new_id),
        clock=clock,
        new_id=new_id,
        resume=lambda _, call: call,
    )


_rules = st.lists(
    st.builds(
        Rule,
        label=st.sampled_from(["policy[0]", "policy[1]"]),
        permits=st.sampled_from([True, True, False]),
        tools=st.sampled_from([None, None, Patterns.of(["a*"]), Patterns.of(["*"])]),
        methods=st.sampled_from([None, None, Patterns.of(["tools/*"])]),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


async def asked_for(made: Pipeline, caller: Caller, method: str, tool: str) -> Permit | Denial | CallError:
    try:
        return await made.permit(caller, call(method, tool, arguments={"city": "Oslo"}))
    except CallError as error:
        return error


@settings(max_examples=200, deadline=None)
@given(callers(), _signers, _tools, st.sampled_from(["tools/call", "tools/call", "tools/list", "prompts/get"]), _rules)
def test_what_is_explained_is_what_the_pipeline_makes(
    caller: Caller, signer: SignerSettings, tool: str, method: str, rules: tuple[Rule, ...]
) -> None:
    policy = Policy(rules, {})
    real = asyncio.run(asked_for(pipeline(signer, policy, dry=False), caller, method, tool))
    asked = call(method, tool, arguments={"city": "Oslo"})
    seen = asyncio.run(decided(pipeline(signer, policy, dry=True), caller, asked, None))
    told = seen.verdict
    if isinstance(real, Permit):
        assert isinstance(told, Permit)
        assert (told.claims, told.allowed, told.subject, told.kid) == (
            real.claims,
            real.allowed,
            real.subject,
            real.kid,
        )
        payload = real.token.split(".")[1]
        assert json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) == told.claims
        has_origin = {path[0] for path in seen.origins}
        assert has_origin <= set(told.claims)
        # What an object is left with after its parts were removed came from nowhere.
        assert {name for name, value in told.claims.items() if not isinstance(value, dict)} <= has_origin
        assert told.token.rpartition(".")[0] == real.token.rpartition(".")[0]
        assert told.token != real.token
    elif isinstance(real, Denial):
        assert told == real
        assert seen.origins == {}
    else:
        assert isinstance(told, CallError)
        assert (told.reason, told.message, told.detail) == (real.reason, real.message, real.detail)


# ---- a whole gateway ------------------------------------------------------------------------------------------------


async def explained(path: Path, *, with_hooks: bool = True, **changes: Any) -> Explained:
    asked = Asked(**{"server": "weather", "method": "tools/call", "name": "get_weather", "arguments": {}, **changes})
    return await explain(load(path), asked, SystemClock(), with_hooks=with_hooks)


async def with_key(path: Path, **changes: Any) -> None:
    """A key in the store, as `apikey create` writes it."""
    store = await open_store(load(path).store)
    row = ApiKeyRow(id=KEY, mac=bytes(32), subject="alice", team="data", created=1.0)
    await store.add_api_key(dataclasses.replace(row, **changes))
    await store.close()


async def test_a_real_call_gets_what_was_explained(server: HostileServer, tmp_path: Path) -> None:
    signer = {"set_claims": {"tenant": "t1", "deep.er": "{call.name}"}, "header": "X-Call-Token"}
    path = written(tmp_path, server, {"signer": signer})
    found = await explained(path, arguments={"city": "Oslo"})
    assert (server.calls, found.permitted) == (0, True)
    async with open_gateway(path, background=False) as gateway:
        await make_call(gateway, params={"name": "get_weather", "arguments": {"city": "Oslo"}})
        claims = verified(gateway, server, "x-call-token")
    drawn = {"iat", "nbf", "exp", "jti", "txn"}
    assert {name: one for name, one in claims.items() if name not in drawn} == {
        name: one for name, one in found.claims.items() if name not in drawn
    }
    assert found.claims.keys() == claims.keys()
    heard = server.seen[-1]
    named = [name.lower() for name, _ in found.headers]
    assert set(named) <= heard.names
    assert heard.names - set(named) <= {"host", "content-length", "connection"}
    assert dict(found.headers)["X-Call-Token"] == TOKEN


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_can_be_asked_about_and_nothing_is_sent_or_recorded(
    server: HostileServer, tmp_path: Path, method: str
) -> None:
    path = written(tmp_path, server)
    row = METHODS[method]
    name = "a" if row.name_field is not None or method == "completion/complete" else None
    found = await explained(path, method=method, name=name, arguments={} if row.arguments else None)
    if method in TASKS:  # whose, and of which tool it is, only its own id says
        assert found.refused is not None
        assert "there is no such task" in str(found.refused)
        assert server.calls == 0
        return
    assert found.permitted, found.refused
    assert found.call is not None
    assert (found.call.method, found.call.name) == (method, name)
    assert found.claims["authorization_details"][0]["actions"] == [method]
    assert server.calls == 0
    assert not (tmp_path / "audit").exists()


async def test_no_token_and_no_credential_of_the_server_is_in_what_is_told(
    server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_SERVER", "c4n4ry")
    hooks = [{"use": "static_headers", "with": {"headers": {"X-Hook": "env:OF_THE_SERVER"}}}]
    path = written(tmp_path, server, {"headers": {"X-Static": "env:OF_THE_SERVER"}}, hooks=hooks)
    found = await explained(path)
    headers = dict(found.headers)
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["X-Static"] is headers["X-Hook"] is None
    assert "c4n4ry" not in repr(found)
    assert "eyJ" not in repr(found)
    assert [label.split()[1] for label in found.asked] == ["static_headers"]
    without = await explained(path, with_hooks=False)
    assert (without.asked, "X-Hook" in dict(without.headers)) == ((), False)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({}, None), ({"revoked": 2.0}, "was revoked"), ({"expires": 2.0}, "has expired")],
    ids=["good", "revoked", "expired"],
)
async def test_a_key_is_explained_as_if_it_were_used_and_what_is_wrong_with_it_is_said(
    server: HostileServer, tmp_path: Path, changes: dict[str, Any], why: str | None
) -> None:
    path = written(tmp_path, server, callers={"api_keys": True})
    await with_key(path, **changes)
    found = await explained(path, key=KEY)
    assert found.claims["client_id"] == KEY
    assert found.refused is None
    assert (found.invalid is None, found.permitted) == (why is None, why is None)
    assert why is None or why in (found.invalid or "")


async def test_a_key_that_there_is_not_and_a_caller_that_may_not_be_are_refused(
    server: HostileServer, tmp_path: Path
) -> None:
    path = written(tmp_path, server, callers={"api_keys": True})
    for changes, reason in (({"key": "nobody"}, "credential_invalid"), ({}, "credential_missing")):
        found = await explained(path, **changes)
        assert found.refused is not None
        assert (found.refused.reason, found.permitted, found.claims) == (reason, False, {})


async def test_j_30_a_token_is_verified_for_real_and_its_owner_may_know_what_is_wrong(
    server: HostileServer, tmp_path: Path
) -> None:
    sources = {"signer": {"end_user_claim_sources": ["preferred_username"]}}
    with Idp() as idp:
        path = written(tmp_path, server, sources, **trusting(idp.issuer()))
        good = idp.token(preferred_username="alice").decode()
        found = await explained(path, token=good)
        assert found.claims["sub"] == "alice"
        assert (found.origins[("sub",)].kind, found.origins[("sub",)].detail) == ("claim", "preferred_username")
        bad = await explained(path, token=idp.token(aud="https://elsewhere").decode())
        assert bad.refused is not None
        assert (bad.refused.reason, bad.claims) == ("credential_invalid", {})
        assert (bad.refused.detail or "").startswith("audience")
        assert good not in repr(found)
        assert server.calls == 0


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        ([{"permit": {"callers": {"team": "sales"}}}], "the nearest rule is policy[0]"),
        ([], "no rule of `policy` permits anything"),
        ([{"deny": {}}, {"permit": {}}], "without policy[0]"),
    ],
)
async def test_a_denial_says_what_would_permit(
    server: HostileServer, tmp_path: Path, policy: list[Any], change: str
) -> None:
    path = written(tmp_path, server, callers={"api_keys": True}, policy=policy)
    await with_key(path)
    found = await explained(path, key=KEY)
    assert found.refused is not None
    assert (found.refused.reason, found.refused.status) == ("policy_denied", 403)
    assert found.changes[0].startswith(change)
    assert ":" in (found.refused.rule or "") or found.refused.rule == "default", "file and line"


async def test_required_claims_are_named_with_where_they_should_come_from(
    server: HostileServer, tmp_path: Path
) -> None:
    path = written(tmp_path, server, {"signer": {"required_claims": ["department"]}}, callers={"api_keys": True})
    await with_key(path)
    found = await explained(path, key=KEY)
    assert found.refused is not None
    assert found.refused.reason == "required_claim_missing"
    assert "department" in found.refused.message
    assert "metadata" in found.refused.message
    assert "required_claims" in (found.refused.rule or "")
    await with_key(path, id="b" * 12, metadata={"department": "data"})
    assert (await explained(path, key="b" * 12)).permitted


@pytest.mark.parametrize(("peer", "subject"), [("10.0.0.7", "carol"), ("192.0.2.1", "alice"), (None, "alice")])
async def test_i_03_an_identity_header_counts_from_a_trusted_peer_alone(
    server: HostileServer, tmp_path: Path, peer: str | None, subject: str
) -> None:
    signer = {"end_user_claim_sources": ["header:X-User", "user_id"], "trust_identity_headers_from": ["10.0.0.7/32"]}
    path = written(tmp_path, server, {"signer": signer}, callers={"api_keys": True})
    await with_key(path)
    found = await explained(path, key=KEY, headers=(("X-User", "carol"),), peer=peer)
    assert found.claims["sub"] == subject
    assert found.left_out == (() if subject == "carol" else ("X-User",))
