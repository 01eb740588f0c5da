"""Everybody is asked, side by side, with what the gateway asks with, and once where two trust the same."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml

from counterseal.clock import SystemClock
from counterseal.config.load import load_text
from counterseal.core.limits import LIMITS, Limits
from counterseal.gateway.judged import Judged
from counterseal.gateway.online import ask, machine
from counterseal.issuer.signers.local import generate, to_pem
from tests.support.jwks_server import Handler
from tests.support.leaping import LeapingTime
from tests.support.whole_idp import DISCOVERY, INTROSPECTION, JSON, KEYS, WholeIdp


@pytest.fixture
def idp(monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeIdp]:
    monkeypatch.setenv("SECRET", "c4n4ry")
    with WholeIdp() as running:
        yield running


async def asked(
    issuers: Sequence[dict[str, Any]] = (),
    signers: Sequence[dict[str, Any]] = (),
    *,
    resolve: Any = machine,
    limits: Limits = LIMITS,
) -> tuple[Judged, ...]:
    """signers: those of servers that are called s0, s1 and so on."""
    servers = {
        f"s{at}": {"url": f"https://s{at}.example.com/mcp", "signer": dict(one)} for at, one in enumerate(signers)
    }
    document = {
        "issuer": "https://gateway.example.com",
        "callers": {"issuers": list(issuers)},
        "servers": servers,
    }
    configuration = load_text(yaml.safe_dump(document), "counterseal.yaml", Path())
    return await ask(configuration, SystemClock(), resolve=resolve, limits=limits)


def problems(judged: Judged) -> list[str]:
    return [line.text for line in judged.lines if line.level == "problem"]


async def test_each_issuer_each_endpoint_and_each_channel_is_asked(idp: WholeIdp) -> None:
    with WholeIdp() as other:
        opaque = {
            "name": "opaque",
            "issuer": other.origin,
            "introspection": other.introspection(token_prefix="op_"),
            "allow_insecure_loopback": True,
        }
        channel = {
            "channel_token_discovery_uri": other.origin + DISCOVERY,
            "channel_token_allow_insecure_loopback": True,
        }
        found = await asked([idp.entry(introspection=idp.introspection()), opaque], [channel, {}, channel])
        names = [(one.kind, one.name) for one in found]
        assert names == [
            ("issuer", "corp"),
            ("introspection", "corp"),
            ("introspection", "opaque"),
            ("channel", "s0, s2"),
        ]
        assert [one.level for one in found] == ["ok"] * 4
        assert sorted(idp.paths) == [DISCOVERY, INTROSPECTION, KEYS]
        assert sorted(other.paths) == [DISCOVERY, INTROSPECTION, KEYS]


async def test_s1_whoever_is_trusted_twice_is_asked_once_and_judged_twice(idp: WholeIdp) -> None:
    channel = {
        "channel_token_discovery_uri": idp.origin + DISCOVERY,
        "channel_token_algorithms": ["ES512"],
        "channel_token_allow_insecure_loopback": True,
    }
    issuer, one = await asked([idp.entry()], [channel])
    assert (issuer.level, one.level) == ("ok", "problem")
    assert any("`channel_token_algorithms` has ES512" in text for text in problems(one))
    assert idp.paths == [DISCOVERY, KEYS]


async def test_a_configuration_that_trusts_nobody_else_asks_nobody() -> None:
    assert await asked() == ()


async def test_n_06_an_endpoint_is_asked_about_a_token_that_was_made_up_each_time(idp: WholeIdp) -> None:
    entry = idp.entry(introspection=idp.introspection(token_prefix="op_"))
    for _ in range(2):
        await asked([entry])
    forms = [dict(parse_qsl(form.decode())) for form in idp.forms]
    tokens = [form["token"] for form in forms]
    assert [form.keys() for form in forms] == [{"token", "token_type_hint"}] * 2
    assert all(token.startswith("op_") and len(token) == 25 for token in tokens)
    assert len(set(tokens)) == 2


@pytest.mark.parametrize("how", ["post", "private_key_jwt"])
async def test_an_endpoint_is_asked_as_the_client_that_the_gateway_is(idp: WholeIdp, tmp_path: Path, how: str) -> None:
    changes: dict[str, Any] = {"client_auth": how}
    if how == "private_key_jwt":
        path = tmp_path / "client.pem"
        path.write_bytes(to_pem(generate("ES256")))
        path.chmod(0o600)
        changes |= {"client_secret": None, "private_key": f"file:{path}"}
    _, endpoint = await asked([idp.entry(introspection=idp.introspection(**changes))])
    assert endpoint.level == "ok"
    (form,) = (dict(parse_qsl(form.decode())) for form in idp.forms)
    assert {"client_secret", "client_assertion"} & form.keys() == {
        "client_secret" if how == "post" else "client_assertion"
    }


async def test_a_name_without_an_address_is_told_in_the_resolvers_words(idp: WholeIdp) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    corp, here = await asked(
        [{"name": "corp", "discovery_uri": f"https://idp.example.com{DISCOVERY}"}, idp.entry("here")], resolve=resolve
    )
    assert problems(corp) == [
        f"https://idp.example.com{DISCOVERY}: idp.example.com has no address: Name or service not known"
    ]
    assert here.level == "ok"


@pytest.mark.parametrize(
    ("kind", "address", "remedy"),
    [
        ("issuer", "10.0.0.1", "if its IdP is really there, add its network to `allow_networks`"),
        ("issuer", "127.0.0.1", "for an IdP on this machine write `allow_insecure_loopback: true`"),
        (
            "channel",
            "10.0.0.1",
            "if its IdP is really there, give it a public address, because no key allows other networks for channel tokens",
        ),
        ("channel", "127.0.0.1", "for an IdP on this machine write `channel_token_allow_insecure_loopback: true`"),
    ],
)
async def test_k_02_an_address_that_is_refused_is_told_with_the_key_that_would_allow_it(
    kind: str, address: str, remedy: str
) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return [address]

    uri = f"https://idp.example.com{DISCOVERY}"
    trusted = {"name": "corp", "discovery_uri": uri}
    if kind == "issuer":
        (found,) = await asked([trusted], resolve=resolve)
    else:
        (found,) = await asked([], [{"channel_token_discovery_uri": uri}], resolve=resolve)
    what = "private" if address.startswith("10.") else "loopback"
    assert found.kind == kind
    assert problems(found) == [f"{uri}: idp.example.com leads to an address that is {what}: {remedy}"]


async def test_k_02_a_network_that_the_configuration_allows_is_reached_and_no_other(idp: WholeIdp) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    uri = idp.origin.replace("http://127.0.0.1", "https://idp.example.com") + DISCOVERY
    for network, told in (
        ("127.1.0.0/16", "an address that is loopback"),
        ("127.0.0.0/16", "no connection: SSLError"),  # it is reached, and does not speak TLS
    ):
        entry = {"name": "corp", "discovery_uri": uri, "allow_networks": [network]}
        (found,) = await asked([entry], resolve=resolve)
        (problem,) = problems(found)
        assert told in problem


async def turns() -> None:
    """What is there is read, and what is due ends."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_k_09_one_that_hangs_hides_no_other_and_is_given_up_in_time(idp: WholeIdp) -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    answered, keys = threading.Event(), json.dumps(idp.at[KEYS]).encode()

    def tell(handler: Handler) -> None:
        idp.send(handler, 200, keys, JSON)
        answered.set()

    idp.at[KEYS] = tell
    with WholeIdp() as slow:
        slow.gate.clear()
        time = LeapingTime()
        asking = asyncio.ensure_future(
            asked(
                [
                    slow.entry("hangs", introspection=slow.introspection()),
                    {"name": "unresolved", "discovery_uri": f"https://idp.example.com{DISCOVERY}"},
                    idp.entry("fine"),
                ],
                resolve=never,
            )
        )
        await time.leap_when(lambda: answered.is_set() and slow.count == 2, 0)
        await turns()
        time.leap(LIMITS.fetch_connect_seconds)
        await turns()
        time.leap(LIMITS.fetch_seconds)
        found = await asking
    told = {f"{one.kind} {one.name}": problems(one) for one in found}
    assert told == {
        "issuer hangs": [f"{slow.origin}{DISCOVERY}: no end in time"],
        "introspection hangs": [f"{slow.origin}{INTROSPECTION}: no end in time"],
        "issuer unresolved": [f"https://idp.example.com{DISCOVERY}: no connection in time"],
        "issuer fine": [],
    }


async def test_all_are_asked_at_once(idp: WholeIdp) -> None:
    together, answer = threading.Barrier(20), idp.answer
    assert answer is not None

    def wait_for_all(handler: Handler) -> None:
        together.wait(4)
        answer(handler)

    idp.answer = wait_for_all
    entries = [idp.entry(f"i{at}", issuer=f"{idp.origin}/{at}") for at in range(20)]
    found = await asked(entries, limits=LIMITS)
    assert [line.about for one in found for line in one.lines if line.level == "problem"] == ["issuer"] * 20


async def test_nothing_is_left_running(idp: WholeIdp) -> None:
    before = asyncio.all_tasks()
    await asked([idp.entry(introspection=idp.introspection())])
    assert asyncio.all_tasks() == before


async def test_no_secret_is_in_what_is_found(idp: WholeIdp, caplog: pytest.LogCaptureFixture) -> None:
    found = await asked([idp.entry(introspection=idp.introspection())])
    text = repr(found) + json.dumps([line.facts for one in found for line in one.lines]) + caplog.text
    assert "c4n4ry" not in text
    assert [sent.partition(" ")[0] for sent in idp.authorizations if sent is not None] == ["Basic"]


async def test_this_machine_resolves_its_own_name_and_says_what_it_cannot() -> None:
    assert set(await machine("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(UnicodeError):
        await machine("a" * 64 + ".example", 80)
