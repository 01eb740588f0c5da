"""The whole verification, synchronous and asynchronous: what passes, and what each refusal says."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import counterseal.verify
from counterseal.core.limits import LIMITS
from counterseal.verify import CannotVerify, NotVerified, VerificationError, Verified, Verifier
from tests.support.jwks_server import JwksServer
from tests.support.tokens import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    NOW,
    FixedClock,
    call_claims,
    jwk,
    jwks,
    needs_ml_dsa,
    private_key,
    token,
)

CITY = {"city": "Oslo"}
ALGORITHMS = ("RS256", "ES256", "Ed25519", "EdDSA")

Check = Callable[..., Awaitable[Verified]]


def verifier(clock: FixedClock | None = None, **settings: Any) -> Verifier:
    settings = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": jwks(*ALGORITHMS), **settings}
    return Verifier(**settings, clock=clock or FixedClock())


async def check(which: Verifier, presented: str, driver: str = "averify", **call: Any) -> Verified:
    """Verify for the usual call, in the way named."""
    call = {"method": "tools/call", "name": "get_weather", "arguments": CITY, **call}
    if driver == "averify":
        return await which.averify(presented, **call)
    return await asyncio.to_thread(which.verify, presented, **call)


async def refused(which: Verifier, presented: str, driver: str = "averify", **call: Any) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        await check(which, presented, driver, **call)
    return caught.value


def good(**changes: Any) -> str:
    return token(call_claims(arguments=CITY, **changes))


both = pytest.mark.parametrize("driver", ["verify", "averify"])


# ---- what passes ----


@both
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_call_token_vouches_for_its_call(driver: str, algorithm: str) -> None:
    claims = call_claims(arguments=CITY, act={"sub": "agent-7", "act": {"client_id": "app"}})
    verified = await check(verifier(), token(claims, algorithm), driver)
    assert (verified.subject, verified.client_id, verified.jti, verified.txn) == ("alice", "k1", "j1", "t1")
    assert verified.actors == ("agent-7", "app")
    assert verified.scope == "mcp:tools/call:get_weather"
    assert verified.expires == NOW + 60
    assert verified.claims == claims


async def test_a_verified_call_shows_no_claims_in_its_repr() -> None:
    verified = await check(verifier(), good(email="alice@example.com"))
    assert "alice@example.com" not in repr(verified)
    with pytest.raises(TypeError):
        verified.claims["sub"] = "mallory"  # type: ignore[index]


@needs_ml_dsa
@both
async def test_an_experimental_signature_vouches_as_well_and_its_key_alone_says_so(driver: str) -> None:
    """J-03: with nothing configured, and no key for the other algorithm."""
    which = verifier(jwks=jwks("ES256", "ML-DSA-44"))
    sound = token(call_claims(arguments=CITY), "ML-DSA-44")
    for alg, kid, key in (("ES256", "ML-DSA-44", "ES256"), ("ML-DSA-44", "ES256", "ML-DSA-44")):
        wrong = token(call_claims(arguments=CITY), alg, header={"kid": kid}, key=private_key(key))
        assert (await refused(which, wrong, driver)).code == "algorithm"
    forged = token(call_claims(arguments=CITY), "ML-DSA-44", key=private_key("ML-DSA-44", "other"))
    assert (await refused(which, forged, driver)).code == "signature"
    assert (await refused(which, sound, driver, arguments={"city": "Bergen"})).code == "arguments"
    assert (await check(which, sound, driver)).subject == "alice"
    assert (await refused(which, sound, driver)).code == "replayed"
    assert (await check(which, good(jti="j2"), driver)).subject == "alice"


@needs_ml_dsa
async def test_a_verifier_whose_keys_do_not_have_it_refuses_an_experimental_signature() -> None:
    sound = token(call_claims(arguments=CITY), "ML-DSA-44")
    assert (await refused(verifier(), sound)).code == "key_unknown"


# ---- what is refused ----

BAD: list[tuple[str, Callable[[], str], str, int]] = [
    ("no token", lambda: "", "malformed", 401),
    ("an API key", lambda: "csk_k3m9x0a7q2fz", "malformed", 401),
    ("alg none", lambda: token(call_claims(arguments=CITY), header={"alg": "none"}), "algorithm", 401),
    ("HS256", lambda: token(call_claims(arguments=CITY), header={"alg": "HS256"}), "algorithm", 401),
    ("another algorithm", lambda: token(call_claims(arguments=CITY), header={"alg": "RS256"}), "algorithm", 401),
    ("unknown kid", lambda: token(call_claims(arguments=CITY), header={"kid": "x"}), "key_unknown", 401),
    ("another's key", lambda: token(call_claims(arguments=CITY), key=private_key("ES256", "other")), "signature", 401),
    ("tampered", lambda: good()[:-6] + "AAAAAA", "signature", 401),
    ("a key in the header", lambda: token(call_claims(arguments=CITY), header={"jwk": {}}), "malformed", 401),
    ("wrong issuer", lambda: good(iss="https://other.example"), "issuer", 401),
    ("another server's", lambda: good(aud="https://files.example.com/mcp"), "audience", 401),
    ("audience as a list", lambda: good(aud=[AUDIENCE]), "audience", 401),
    ("audience with a slash", lambda: good(aud=AUDIENCE + "/"), "audience", 401),
    ("the issuer as audience", lambda: good(aud=ISSUER), "audience", 401),
    ("no audience", lambda: good(aud=ABSENT), "audience", 401),
    ("typ JWT", lambda: token(call_claims(arguments=CITY), header={"typ": "JWT"}), "typ", 401),
    ("no typ", lambda: token(call_claims(arguments=CITY), header={"typ": ABSENT}), "typ", 401),
    ("no exp", lambda: good(exp=ABSENT), "time", 401),
    ("expired", lambda: good(iat=NOW - 100, nbf=NOW - 100, exp=NOW - 30), "expired", 401),
    ("not yet valid", lambda: good(nbf=NOW + 31, exp=NOW + 60), "not_yet_valid", 401),
    ("from the future", lambda: good(iat=NOW + 31, nbf=NOW, exp=NOW + 60), "not_yet_valid", 401),
    ("lives too long", lambda: good(exp=NOW + 901), "lifetime", 401),
    ("no iat", lambda: good(iat=ABSENT), "lifetime", 401),
    ("no sub", lambda: good(sub=ABSENT), "subject", 401),
    ("bound to a key", lambda: good(cnf={"jkt": "x"}), "confirmation", 401),
    ("no jti", lambda: good(jti=ABSENT), "claim", 401),
    ("no act", lambda: good(act=ABSENT), "actor", 401),
    ("no scope", lambda: good(scope=ABSENT), "scope", 403),
    ("scope for a list", lambda: good(scope="mcp:tools/list"), "scope", 403),
    ("another tool's", lambda: token(call_claims(name="delete_all", arguments=CITY)), "scope", 403),
    ("another method's", lambda: token(call_claims("tools/list", None)), "scope", 403),
    ("other arguments", lambda: token(call_claims(arguments={"city": "Bergen"})), "arguments", 403),
    ("no arguments bound", lambda: good(details={"arguments_digest": ABSENT}), "arguments", 403),
    ("another location", lambda: good(details={"locations": ["https://files.example.com/mcp"]}), "operation", 403),
]


@both
@pytest.mark.parametrize(("make", "code", "status"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_a_bad_token_is_refused_for_its_reason(
    driver: str, make: Callable[[], str], code: str, status: int
) -> None:
    which = verifier()
    error = await refused(which, make(), driver)
    assert (error.code, error.status) == (code, status)
    await check(which, good(), driver)  # nothing of the refused token was used up


async def test_the_leeway_and_the_longest_life_are_held_at_their_ends() -> None:
    """J-14, J-15: n and n + 1."""
    await check(verifier(), good(iat=NOW - 90, nbf=NOW - 90, exp=NOW - 29.999))
    await check(verifier(), good(exp=NOW + 900))
    strict = verifier(leeway=0)
    await check(strict, good(iat=NOW - 90, nbf=NOW - 90, exp=NOW + 0.001))
    assert (await refused(strict, good(exp=NOW, jti="j2"))).code == "expired"


@pytest.mark.parametrize(
    ("aud", "say"),
    [
        ([AUDIENCE], "`aud` is a list"),
        (AUDIENCE + "/", "differs only in a slash at the end"),
        (AUDIENCE.replace(".com/", ".com:443/"), "differs only in the default port"),
        (AUDIENCE.replace("weather", "Weather"), "differs only in upper and lower case of the scheme or the host"),
        (AUDIENCE + "/v2", "has another path at the same host"),
        (AUDIENCE[:-4], "only the beginning"),
        (AUDIENCE.upper(), "upper and lower case"),
        (ISSUER, "the issuer itself"),
        ("https://files.example.com/mcp", "is another"),
    ],
)
async def test_wrong_audiences_are_told_apart(aud: Any, say: str) -> None:
    """J-17: with what is expected, which is what whoever configures it needs."""
    error = await refused(verifier(), good(aud=aud))
    assert say in error.message


async def test_until_the_signature_holds_all_refusals_look_the_same() -> None:
    """J-30."""
    public = {(await refused(verifier(), make())).public for _, make, _, _ in BAD[:10]}
    assert public == {("invalid_token", "the call token is not valid here")}
    assert (await refused(verifier(), good(aud=ISSUER))).public[0] == "audience"


# ---- single use ----


@both
async def test_a_token_is_good_once(driver: str) -> None:
    which, presented = verifier(), good()
    await check(which, presented, driver)
    error = await refused(which, presented, driver)
    assert (error.code, error.status) == ("replayed", 401)
    await check(which, good(jti="j2"), driver)


async def test_a_token_is_not_used_up_by_a_call_that_it_is_not_for() -> None:
    which, presented = verifier(), good()
    for call in ({"name": "delete_all"}, {"arguments": {}}, {"method": "prompts/get"}):
        assert (await refused(which, presented, **call)).status == 403
    await check(which, presented)


async def test_a_token_stays_used_until_it_is_over_with_the_leeway() -> None:
    clock = FixedClock()
    which, presented = verifier(clock), good()
    await check(which, presented)
    clock.advance(89.9)
    assert (await refused(which, presented)).code == "replayed"
    clock.advance(0.1)
    assert (await refused(which, presented)).code == "expired"


async def test_a_clock_that_steps_back_revives_no_token() -> None:
    """J-16."""
    clock = FixedClock()
    which, presented = verifier(clock), good()
    await check(which, presented)
    clock.advance(200)
    later = {"iat": NOW + 200, "nbf": NOW + 200, "exp": NOW + 260}
    await check(which, good(jti="j2", **later))
    clock.step(-200)
    assert (await refused(which, presented)).code == "replayed"


async def test_single_use_can_be_switched_off_or_kept_elsewhere() -> None:
    free, presented = verifier(single_use=False), good()
    for _ in range(2):
        await check(free, presented)

    class Elsewhere:
        def __init__(self) -> None:
            self.claims: list[tuple[str, float]] = []

        def claim(self, jti: str, expires: float) -> bool:
            self.claims.append((jti, expires))
            return len(self.claims) < 2

    shared = Elsewhere()
    which = verifier(single_use=shared)
    await check(which, presented)
    assert (await refused(which, presented)).code == "replayed"
    assert shared.claims == [("j1", NOW + 90)] * 2


async def test_a_store_that_cannot_tell_is_no_pass() -> None:
    class Down:
        def claim(self, jti: str, expires: float) -> bool:
            raise CannotVerify("the store is out of reach")

    with pytest.raises(CannotVerify) as caught:
        await check(verifier(single_use=Down()), good())
    assert caught.value.status == 503


# ---- LiteLLM's shape ----

SEEDS = {"scope": "mcp:tools/call mcp:tools/get_weather:call"}
AS_JWT = {"typ": "JWT"}


@both
async def test_a_token_of_litellms_shape_vouches_for_its_call_where_that_is_said(driver: str) -> None:
    which = verifier(profile="litellm")
    verified = await check(which, token(call_claims(arguments=CITY, **SEEDS), header=AS_JWT), driver)
    assert (verified.subject, verified.actors) == ("alice", ("agent-7",))
    listed = token(call_claims("tools/list", None, jti="j2"), header=AS_JWT)
    await check(which, listed, driver, method="tools/list", name=None, arguments=None)


@both
@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: token(call_claims(arguments=CITY, **SEEDS)), "typ"),
        (lambda: token(call_claims(arguments=CITY), header=AS_JWT), "scope"),
        (lambda: token(call_claims(arguments=CITY, scope="mcp:tools/call"), header=AS_JWT), "scope"),
        (lambda: token(call_claims(arguments=CITY, scope="mcp:tools/get_weather:call"), header=AS_JWT), "scope"),
        (lambda: token(call_claims(arguments=CITY, scope=SEEDS["scope"] + " mcp:tools/list"), header=AS_JWT), "scope"),
        (lambda: token(call_claims(arguments={}, **SEEDS), header=AS_JWT), "arguments"),
        (lambda: token(call_claims(arguments=CITY, authorization_details=ABSENT, **SEEDS), header=AS_JWT), "operation"),
        (lambda: token(call_claims(arguments=CITY, jti=ABSENT, **SEEDS), header=AS_JWT), "claim"),
    ],
)
async def test_s_07_a_token_of_litellms_shape_is_bound_like_any(
    driver: str, make: Callable[[], str], code: str
) -> None:
    """It stays for one server, one operation, one set of arguments and one use."""
    which = verifier(profile="litellm")
    assert (await refused(which, make(), driver)).code == code
    twice = token(call_claims(arguments=CITY, **SEEDS), header=AS_JWT)
    await check(which, twice, driver)
    assert (await refused(which, twice, driver)).code == "replayed"


async def test_neither_shape_passes_for_the_other() -> None:
    assert (await refused(verifier(), token(call_claims(arguments=CITY, **SEEDS), header=AS_JWT))).code == "typ"
    assert (await refused(verifier(profile="litellm"), good())).code == "typ"


# ---- settings ----


async def test_a_server_may_ask_for_shorter_lives() -> None:
    """J-15: n and n + 1."""
    which = verifier(longest_life=60)
    await check(which, good())
    assert (await refused(which, good(exp=NOW + 61, jti="j2"))).code == "lifetime"


@both
async def test_without_arguments_everything_else_is_checked_and_the_token_is_used_up(driver: str) -> None:
    which = verifier()

    async def ask(presented: str, **changes: Any) -> Verified:
        call = {"method": "tools/call", "name": "get_weather", **changes}
        if driver == "averify":
            return await which.averify_without_arguments(presented, **call)
        return await asyncio.to_thread(which.verify_without_arguments, presented, **call)

    for bad, code in (
        (token(call_claims(name="delete_all")), "scope"),
        (good(details={"identifier": "delete_all"}), "operation"),
        (good(aud=ISSUER), "audience"),
        (good()[:-6] + "AAAAAA", "signature"),
    ):
        with pytest.raises(VerificationError) as caught:
            await ask(bad)
        assert caught.value.code == code
    assert (await ask(token(call_claims(arguments={"city": "Bergen"})))).subject == "alice"
    with pytest.raises(VerificationError, match="used before"):
        await ask(token(call_claims(arguments={"city": "Oslo"})))


async def test_unbound_arguments_pass_only_where_that_is_said() -> None:
    await check(verifier(require_arguments=False), good(details={"arguments_digest": ABSENT}))


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": ""},
        {"audience": ""},
        {"audience": [AUDIENCE]},
        {"issuer": None},
        {"leeway": 61},
        {"leeway": -1},
        {"longest_life": 0},
        {"longest_life": 901},
        {"required_claims": "email"},
        {"jwks": {"keys": []}},
        {"jwks": "http://gateway.example.com/jwks"},
        {"issuer": "http://gateway.example.com", "jwks": None},
        {"issuer": "not an address", "jwks": "ftp://x/y"},
        {"profile": "LiteLLM"},
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        verifier(**settings)


def test_without_an_operation_everything_else_is_checked() -> None:
    which = verifier()
    assert which.verify_without_operation(good()).subject == "alice"
    assert which.verify_without_operation(good()).subject == "alice"
    for bad in (good(aud=ISSUER), good(exp=NOW - 30), good(act=None), good()[:-6] + "AAAAAA"):
        with pytest.raises(VerificationError):
            which.verify_without_operation(bad)


async def test_without_an_operation_there_is_a_way_that_does_not_block() -> None:
    which = verifier()
    assert (await which.averify_without_operation(good())).subject == "alice"
    with pytest.raises(VerificationError):
        await which.averify_without_operation(good(aud=ISSUER))


# ---- keys from a server ----


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with JwksServer(jwks("ES256")) as running:
        running.headers = {"Cache-Control": "public, max-age=300"}
        yield running


def from_server(server: JwksServer, clock: FixedClock | None = None) -> tuple[Verifier, Callable[..., str]]:
    """A verifier that finds the keys by the issuer alone, and tokens of that issuer."""
    which = Verifier(issuer=server.origin, audience=AUDIENCE, clock=clock or FixedClock())
    numbers = iter(range(100_000))

    def make(kid: str = "ES256", **changes: Any) -> str:
        claims = call_claims(arguments=CITY, iss=server.origin, jti=f"j{next(numbers)}", **changes)
        return token(claims, header={"kid": kid}, key=private_key("ES256", "" if kid == "ES256" else kid))

    return which, make


@both
async def test_the_keys_are_found_by_the_issuer_and_fetched_once(server: JwksServer, driver: str) -> None:
    which, make = from_server(server)
    for _ in range(5):
        await check(which, make(), driver)
    assert server.paths == ["/.well-known/jwks.json"]


def fetching() -> bool:
    """Whether a thread is there that asks for keys."""
    return "counterseal-jwks" in {thread.name for thread in threading.enumerate()}


@both
async def test_in_the_steady_state_there_is_no_network(driver: str) -> None:
    """The gateway ends after the first call, and no thread is started any more: whoever asked for it would fail."""
    with JwksServer(jwks("ES256")) as server:
        server.headers = {"Cache-Control": "max-age=300"}
        which, make = from_server(server)
        await check(which, make(), driver)
    while fetching():
        await asyncio.sleep(0.01)
    for _ in range(200):
        await check(which, make(), driver)
    assert not fetching()


@both
async def test_two_hundred_calls_at_the_start_fetch_once(server: JwksServer, driver: str) -> None:
    """K-06."""
    server.gate.clear()
    which, make = from_server(server)
    calls = [asyncio.create_task(check(which, make(), driver)) for _ in range(200)]
    ticks = 0
    while server.count == 0 or ticks < 20:
        await asyncio.sleep(0)  # the loop runs while the keys are awaited
        ticks += 1
    server.gate.set()
    assert len(await asyncio.gather(*calls)) == 200
    assert server.count == 1


@both
async def test_a_rotation_is_noticed_at_the_first_token_of_the_new_key(server: JwksServer, driver: str) -> None:
    """K-13: overlap, then the old key is gone and refused when the set's life is over."""
    clock = FixedClock()
    which, make = from_server(server, clock)
    await check(which, make(), driver)
    server.document["keys"].append(jwk(private_key("ES256", "next"), kid="next", alg="ES256", use="sig"))
    await check(which, make("next"), driver)
    await check(which, make(), driver)
    assert server.count == 2
    del server.document["keys"][0]
    clock.advance(300)
    now = {"iat": NOW + 300, "nbf": NOW + 300, "exp": NOW + 360}
    await check(which, make("next", **now), driver)
    assert (await refused(which, make(**now), driver)).code == "key_unknown"


@both
async def test_an_outage_is_survived_for_an_hour_and_then_nobody_can_tell(server: JwksServer, driver: str) -> None:
    """K-08, K-07: stale keys, then 503 and never 401; and back when the gateway is."""
    clock = FixedClock()
    which, make = from_server(server, clock)

    def now() -> dict[str, float]:
        return {"iat": clock.wall(), "nbf": clock.wall(), "exp": clock.wall() + 60}

    await check(which, make(), driver)
    server.fail(503, b"<html>")
    clock.advance(3000)
    await check(which, make(**now()), driver)
    clock.advance(899)
    await check(which, make(**now()), driver)
    assert (await refused(which, make(exp=NOW - 30, iat=NOW - 90, nbf=NOW - 90), driver)).code == "expired"
    clock.advance(1)
    for presented in (make(**now()), make("next", **now())):
        with pytest.raises(CannotVerify) as caught:
            await check(which, presented, driver)
        assert (caught.value.status, caught.value.code) == (503, "unavailable")
    server.recover()
    clock.advance(1)
    await check(which, make(**now()), driver)


@both
async def test_a_gateway_that_never_was_there_is_no_reason_to_refuse(driver: str) -> None:
    """K-08."""
    which = Verifier(issuer="http://127.0.0.1:1", audience=AUDIENCE, clock=FixedClock())
    with pytest.raises(CannotVerify):
        await check(which, good(), driver)


async def test_a_malformed_token_causes_no_fetch(server: JwksServer) -> None:
    """J-04, J-05: nor does one that brings its own key or an algorithm that is none."""
    which, make = from_server(server)
    for presented in (
        "",
        "a.b.c",
        token(call_claims(), header={"jku": server.url}),
        token(call_claims(), header={"kid": ["x"]}),
    ):
        await refused(which, presented)
    assert server.count == 0
    await check(which, make())
    assert (await refused(which, token(call_claims(), header={"alg": "none"}))).code == "algorithm"
    assert server.count == 1


async def test_a_waiting_call_that_is_cancelled_leaves_the_others_alone(server: JwksServer) -> None:
    server.gate.clear()
    which, make = from_server(server)
    first, second = (asyncio.create_task(check(which, make())) for _ in range(2))
    while server.count == 0:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    server.gate.set()
    assert (await second).subject == "alice"
    assert server.count == 1


# ---- the room ----


def test_errors_have_one_base() -> None:
    assert issubclass(VerificationError, NotVerified)
    assert issubclass(CannotVerify, NotVerified)


def test_everything_public_is_exported_and_documented() -> None:
    for name in counterseal.verify.__all__:
        assert getattr(counterseal.verify, name).__doc__


@pytest.mark.parametrize("module", ["counterseal.verify", "counterseal.verify.asgi"])
def test_importing_loads_no_framework_and_no_gateway(module: str) -> None:
    code = f"import {module}, sys, json; print(json.dumps(sorted(sys.modules)))"
    paths = ["-c", code]
    loaded = json.loads(subprocess.run([sys.executable, *paths], capture_output=True, check=True, text=True).stdout)
    roots = {name.partition(".")[0] for name in loaded}
    unwanted = {
        "aiohttp",
        "uvicorn",
        "starlette",
        "httpx",
        "requests",
        "fastapi",
        "fastmcp",
        "mcp",
        "pydantic",
        "sqlalchemy",
        "yaml",
        "redis",
        "click",
        "httptools",
        "joserfc",
    }
    assert not roots & unwanted
    rooms = {name.split(".")[1] for name in loaded if name.startswith("counterseal.")}
    assert rooms <= {"verify", "core", "jose", "errors", "clock"}


def test_no_token_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    which = verifier()
    for _, make, _, _ in BAD:
        presented = make()
        with pytest.raises(VerificationError) as caught:
            which.verify(presented, method="tools/call", name="get_weather", arguments=CITY)
        for segment in [part for part in presented.split(".") if len(part) > 8]:
            assert segment not in str(caught.value)
            assert segment not in caplog.text


def test_the_synchronous_verifier_is_good_for_many_threads() -> None:
    which = verifier()
    results: list[str] = []
    presented = good()

    def run() -> None:
        try:
            which.verify(presented, method="tools/call", name="get_weather", arguments=CITY)
            results.append("verified")
        except VerificationError as error:
            results.append(error.code)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["replayed"] * 15 + ["verified"]


def test_the_ceilings_are_those_of_the_table() -> None:
    """8.2."""
    assert (LIMITS.jwks_bytes, LIMITS.jwks_keys) == (256 * 1024, 100)
    assert (LIMITS.fetch_connect_seconds, LIMITS.fetch_seconds) == (2, 5)
    assert (LIMITS.refetch_cooldown_seconds, LIMITS.keys_stale_seconds) == (30, 3600)
    assert Path(counterseal.verify.__file__).name == "__init__.py"
