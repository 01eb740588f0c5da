"""`counterseal check --online`: what a person reads, what a program gets, and what never leaves."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import rsa

from counterseal.cli.check import check
from tests.docs import pages
from tests.gateway.test_canaries import assert_clean
from tests.support.certificates import Authority
from tests.support.jwks_server import Handler
from tests.support.tokens import jwk, jwks, private_key
from tests.support.whole_idp import DISCOVERY, INTROSPECTION, JSON, KEYS, WholeIdp

SECRET = "c4n4ry&secret=%41+/x9q7-of-ours"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MCP_JWT_SIGNING_KEY", raising=False)
    monkeypatch.setenv("SECRET", SECRET)
    return tmp_path


@pytest.fixture
def idp(folder: Path) -> Iterator[WholeIdp]:
    with WholeIdp() as running:
        yield running


def written(*issuers: dict[str, Any], **servers: dict[str, Any]) -> None:
    """A configuration that is right. servers: their signers."""
    document = {
        "issuer": "https://gateway.example.com",
        "callers": {"issuers": list(issuers)},
        "servers": {
            name: {"url": f"https://{name}.example.com/mcp", "signer": signer} for name, signer in servers.items()
        },
        "policy": [{"permit": {"callers": {"team": "data"}}}],
    }
    Path("counterseal.yaml").write_text(json.dumps(document))


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(check, ["--online", *arguments], catch_exceptions=False, **options)


def told(result: Result, level: str = "problem") -> list[str]:
    """The lines of a level, with single spaces."""
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    return [line.removeprefix(f"{level} ") for line in lines if line.startswith(f"{level} ")]


# ---- what a person reads ----


def test_an_issuer_that_is_as_it_should_be_is_told_in_short_lines_of_their_own(idp: WholeIdp) -> None:
    written(idp.entry(introspection=idp.introspection()))
    result = run()
    assert result.exit_code == 0
    assert result.stdout.partition("\n\n")[2].splitlines() == [
        "issuer corp",
        f"  ok       discovery   {idp.origin}{DISCOVERY}, kept for 300 s as it names no max-age",
        f"  ok       issuer      {idp.origin}, equal to the byte",
        f"  ok       jwks_uri    {idp.origin}{KEYS}, kept for 300 s as it names no max-age",
        "  ok       algorithms  the document announces RS256, ES256; `algorithms` has RS256, ES256",
        "  ok       key         'RS256' for RS256",
        "  ok       key         'ES256' for ES256",
        "  ok       RS256       1 key",
        "  ok       ES256       1 key",
        "  ok       clock       within the leeway of 30 s",
        "",
        "introspection corp",
        f"  ok       answer      {idp.origin}{INTROSPECTION} answers the gateway's client, and a made-up token is not active "
        "there",
        "  ok       clock       within the leeway of 30 s",
        "",
        "online: ok",
    ]


def test_the_sample_of_the_page_is_what_is_printed(idp: WholeIdp) -> None:
    idp.at[KEYS] = {
        "keys": [
            jwk(private_key("RS256"), kid="2026-07", use="sig", alg="RS256"),
            jwk(private_key("RS256", "encryption"), kid="2026-07-enc", use="enc"),
            jwk(rsa.generate_private_key(65537, 1024), kid="2019-01", use="sig", alg="RS256"),
        ]
    }
    idp.discover(id_token_signing_alg_values_supported=["RS256", "PS256"])
    idp.headers = {"Cache-Control": "max-age=3600"}
    issuers = [idp.entry(introspection=idp.introspection(token_prefix="at_"))]
    with WholeIdp() as partners:
        partners.discover(issuer=f"{partners.origin}/")
        issuers.append(partners.entry("partners"))
        written(*issuers)
        result = run()
        printed = result.stdout.partition("\n\n")[2]
        for origin, shown in (
            (idp.origin, "https://idp.example.com"),
            (partners.origin, "https://partners.example.com"),
        ):
            printed = printed.replace(origin, shown)
    assert printed == pages.block("docs/operating.md", "online").text
    assert result.exit_code == 1


def test_colours_are_for_terminals_alone(idp: WholeIdp) -> None:
    written(idp.entry(algorithms=["ES512"]))
    assert "\x1b[" not in run().output
    coloured = run(color=True).output
    assert "\x1b[32mok     \x1b[0m" in coloured
    assert "\x1b[31m\x1b[1mproblem\x1b[0m" in coloured


def test_u_05_what_a_provider_wrote_does_nothing_to_a_terminal(idp: WholeIdp) -> None:
    forged = "\x1b[2J\r\n  ok       issuer\u202e"
    idp.at[KEYS] = {"keys": [jwk(private_key("ES256"), kid=forged), *jwks("RS256")["keys"]]}
    idp.discover(id_token_signing_alg_values_supported=["ES256", forged])
    written(idp.entry())
    shown = run()
    assert told(shown, "ok")[3] == "algorithms the document announces ES256; `algorithms` has RS256, ES256"
    assert "  ok       key         '\\x1b[2J\\r\\n  ok       issuer\\u202e' for ES256\n" in shown.stdout
    outputs = [shown.output, run("--json").output]
    for change in ({"issuer": forged}, {"jwks_uri": forged}):
        good = idp.at[DISCOVERY]
        idp.at[DISCOVERY] = good | change
        outputs += [run().output, run("--json").output]
        idp.at[DISCOVERY] = good
    for output in outputs:
        assert output.isascii()
        assert output.replace("\n", "").isprintable()


# ---- each failure, as it is read ----


UNREACHABLE: dict[str, tuple[Any, str]] = {
    "missing": (404, "the answer's status is 404"),
    "failing": (500, "the answer's status is 500"),
    "redirect": (
        302,
        "the answer's status is 302: a redirect, which is never followed; configure the address itself",
    ),
    "huge": (b" " * 300_000, "the answer has more than 262144 bytes"),
    "too long": (b" " * 70_000, "the discovery document is longer than 65536 bytes"),
    "HTML": (
        b"<html>",
        "the discovery document is not strict JSON: expected value at line 1 column 1",
    ),
    "compressed": (
        lambda handler: WholeIdp.send(handler, 200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"}),
        "the answer has a content coding",
    ),
    "a list": ([], "the discovery document is not a JSON object"),
}


@pytest.mark.parametrize(("there", "sentence"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_document_that_cannot_be_had_is_told_with_the_reason(idp: WholeIdp, there: Any, sentence: str) -> None:
    """K-04, K-10."""
    written(idp.entry())
    idp.at[DISCOVERY], good = there, idp.at[DISCOVERY]
    result = run()
    assert (result.exit_code, told(result)) == (1, [f"discovery {idp.origin}{DISCOVERY}: {sentence}"])
    assert idp.paths == [DISCOVERY]
    idp.at[DISCOVERY] = good
    assert run().exit_code == 0


def test_a_provider_that_is_not_there_is_told(folder: Path) -> None:
    with WholeIdp() as gone:
        written(gone.entry())
    result = run()
    sentence = f"discovery {gone.origin}{DISCOVERY}: no connection: ConnectionRefusedError"
    assert (result.exit_code, told(result)) == (1, [sentence])


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (
            "https://10.0.0.1",
            "10.0.0.1 leads to an address that is private: if its IdP is really there, add its network to `allow_networks`",
        ),
        (
            "https://169.254.169.254",
            "169.254.169.254 leads to an address that is link-local: if its IdP is really there, add its network to "
            "`allow_networks`",
        ),
        (
            "https://localhost",
            "localhost leads to an address that is loopback: for an IdP on this machine write `allow_insecure_loopback: true`",
        ),
    ],
)
def test_k_02_an_address_that_is_refused_is_told_with_the_remedy(folder: Path, uri: str, sentence: str) -> None:
    written({"name": "corp", "discovery_uri": uri + DISCOVERY})
    result = run()
    assert (result.exit_code, told(result)) == (1, [f"discovery {uri}{DISCOVERY}: {sentence}"])


@pytest.mark.parametrize(
    ("host", "wrong", "sentence"),
    [
        ("localhost", {"self_signed": True}, "self-signed certificate"),
        ("localhost", {"days": -1}, "certificate has expired"),
        (
            "idp.example.com",
            {},
            "Hostname mismatch, certificate is not valid for 'localhost'.",
        ),
    ],
    ids=["self-signed", "expired", "another name"],
)
def test_k_16_a_certificate_that_proves_nothing_is_told_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, host: str, wrong: dict[str, Any], sentence: str
) -> None:
    authority = Authority(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file()))
    with WholeIdp(authority.server(host, **wrong)) as bad, WholeIdp(authority.server("localhost")) as good:
        written(bad.entry("bad"), good.entry("good"))
        result = run()
        assert (result.exit_code, told(result)) == (
            1,
            [f"discovery {bad.origin}{DISCOVERY}: no connection: {sentence}"],
        )
        assert bad.count == 0
        monkeypatch.delenv("SSL_CERT_FILE")
        assert (
            told(run())[1]
            == f"discovery {good.origin}{DISCOVERY}: no connection: unable to get local issuer certificate"
        )


def test_k_01_another_issuer_is_told_with_the_difference(idp: WholeIdp) -> None:
    written(idp.entry(issuer=f"{idp.origin}/"))
    result = run()
    assert (result.exit_code, told(result)) == (
        1,
        [
            f"issuer the discovery document's `issuer` is '{idp.origin}' and differs in a slash at the end: configure exactly "
            "that, if it is the one you mean"
        ],
    )
    assert told(run(), "note") == [f"jwks_uri {idp.origin}{KEYS}, not asked while `issuer` differs"]
    assert KEYS not in idp.paths


def test_k_02_keys_at_another_host_are_told_with_the_remedy(idp: WholeIdp) -> None:
    elsewhere = idp.origin.replace("127.0.0.1", "localhost") + KEYS
    idp.discover(jwks_uri=elsewhere)
    written(idp.entry())
    result = run()
    assert (result.exit_code, told(result)) == (
        1,
        [
            f"jwks_uri '{elsewhere}': `jwks_uri` of the discovery document is at another host: if that is right, add localhost "
            "to `jwks_hosts`"
        ],
    )
    assert KEYS not in idp.paths
    written(idp.entry(jwks_hosts=["localhost"]))
    assert run().exit_code == 0


def test_a_channels_provider_is_told_with_keys_that_a_channel_has(idp: WholeIdp) -> None:
    elsewhere = idp.origin.replace("127.0.0.1", "localhost") + KEYS
    idp.discover(jwks_uri=elsewhere)
    channel = {
        "channel_token_discovery_uri": idp.origin + DISCOVERY,
        "channel_token_allow_insecure_loopback": True,
    }
    written(weather=channel, notes=channel)
    result = run()
    assert "\nchannel weather, notes\n" in result.stdout
    assert told(result) == [
        f"jwks_uri '{elsewhere}': `jwks_uri` of the discovery document is at another host: if that is right, configure it in "
        "place of the document"
    ]


@pytest.mark.parametrize(
    ("there", "about", "sentence"),
    [
        (404, "jwks_uri", "{url}: the answer's status is 404"),
        (b" " * 300_000, "jwks_uri", "{url}: the answer has more than 262144 bytes"),
        (b"{", "keys", "the key set is none: not strict JSON: EOF while parsing an object at line 1 column 1"),
        ({}, "keys", "the key set is none: not an object with an array `keys`"),
        ({"keys": []}, "keys", "no key of the key set can be used"),
        ({"keys": [{}] * 101}, "keys", "the key set is none: more than 100 keys"),
    ],
    ids=["missing", "huge", "not JSON", "no keys", "empty", "many"],
)
def test_keys_that_cannot_be_had_are_told_with_the_reason(idp: WholeIdp, there: Any, about: str, sentence: str) -> None:
    """K-07, K-10."""
    idp.at[KEYS] = there
    written(idp.entry())
    result = run()
    assert (result.exit_code, told(result)) == (1, [f"{about} {sentence.format(url=idp.origin + KEYS)}"])


def test_k_11_k_12_bad_keys_among_good_ones_are_told_and_only_secret_ones_are_a_problem(idp: WholeIdp) -> None:
    bad = [
        jwk(private_key("RS256"), kid="enc", use="enc"),
        jwk(rsa.generate_private_key(65537, 1024), kid="small"),
        jwk(private_key("ES256", "one"), kid="twice"),
        jwk(private_key("ES256", "other"), kid="twice"),
    ]
    idp.at[KEYS] = {"keys": [*jwks("RS256")["keys"], *bad]}
    written(idp.entry())
    result = run()
    assert (result.exit_code, told(result)) == (0, [])
    assert told(result, "note") == ["key 'enc' is not used: `use` is not `sig`", "ES256 no key"]
    assert told(result, "warning") == [
        "key 'small' is not used: an RSA key of less than 2048 bits",
        *["key 'twice' is not used: another key has the same `kid`"] * 2,
    ]
    assert result.stdout.endswith("\nonline: 3 warnings\n")
    d = "c4n4ry-private"
    idp.at[KEYS]["keys"] += [jwk(private_key("ES256"), kid="own", d=d), {"kty": "oct", "kid": "shared", "k": d}]
    result = run()
    remedy = "Whoever read it can sign with it: have the IdP replace that key"
    assert (result.exit_code, told(result)) == (
        1,
        [
            f"key 'own' is not used: private parts are published. {remedy}",
            f"key 'shared' is not used: a symmetric key is published. {remedy}",
        ],
    )
    assert d not in result.output + run("--json").output
    assert result.stdout.endswith("\nonline: 2 problems, 3 warnings\n")


def test_algorithms_that_do_not_meet_are_told_with_what_to_write(idp: WholeIdp) -> None:
    written(idp.entry(algorithms=["ES512"]))
    result = run()
    remedy = "write `algorithms: [RS256, ES256]`, or have the IdP sign with ES512"
    assert (result.exit_code, told(result)) == (
        1,
        [
            f"algorithms the document announces RS256, ES256, and `algorithms` has ES512: {remedy}",
            f"keys `algorithms` has ES512, and no key is for any of them: {remedy}",
        ],
    )


def test_a_clock_that_differs_is_a_warning(idp: WholeIdp) -> None:
    idp.ahead = 300
    written(idp.entry(leeway=60))
    result = run()
    (warning,) = told(result, "warning")
    assert result.exit_code == 0
    assert warning.startswith("clock ")
    assert warning.endswith(
        " s ahead of ours, more than the leeway of 60 s: tokens may be refused as not valid yet, so set the clock that is wrong"
    )
    idp.ahead = 50
    assert told(run(), "warning") == []


OUR_CLIENT = "it does not accept the gateway's own client credentials, so check them"


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        (401, f"the answer's status is 401: {OUR_CLIENT}"),
        (403, f"the answer's status is 403: {OUR_CLIENT}"),
        (400, "the answer's status is 400"),
        (307, "the answer's status is 307: a redirect, which is never followed; configure the address itself"),
        (b"<html>", "the answer is not strict JSON: expected value at line 1 column 1"),
        ({"active": "false"}, "the answer is not an object with `active` that is true or false"),
        ({"active": True}, "it calls a token active that was made up just now"),
    ],
    ids=["401", "403", "400", "redirect", "HTML", "text", "active"],
)
def test_an_introspection_endpoint_that_is_wrong_is_told_and_its_issuer_too(
    idp: WholeIdp, there: Any, sentence: str
) -> None:
    """N-02."""
    idp.at[INTROSPECTION] = there
    written(idp.entry(introspection=idp.introspection()))
    result = run()
    assert (result.exit_code, told(result)) == (1, [f"answer {idp.origin}{INTROSPECTION}: {sentence}"])
    assert "  ok       ES256       1 key\n" in result.stdout


def test_k_09_others_are_told_when_one_hangs(idp: WholeIdp) -> None:
    with WholeIdp() as slow:
        slow.gate.clear()
        written(slow.entry("slow"), idp.entry("fine"))
        began = time.monotonic()
        result = run()
        assert time.monotonic() - began < 30
    assert told(result) == [f"discovery {slow.origin}{DISCOVERY}: no end in time"]
    assert "\nissuer fine\n  ok " in result.stdout


# ---- for programs, and what is not told ----


def test_for_programs_it_is_in_the_one_object(idp: WholeIdp) -> None:
    idp.at[KEYS] = jwks("RS256")
    idp.at[INTROSPECTION] = 401
    written(idp.entry(introspection=idp.introspection()))
    result = run("--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (1, False)
    corp, endpoint = document["online"]
    assert (corp["kind"], corp["name"], corp["level"]) == ("issuer", "corp", "note")
    facts = {
        line["about"]: {name: value for name, value in line.items() if name not in ("about", "text")}
        for line in corp["lines"]
    }
    uri = idp.origin + DISCOVERY
    assert facts["discovery"] == {"level": "ok", "address": uri, "max_age": None, "kept": 300}
    assert facts["issuer"] == {"level": "ok", "found": idp.origin, "configured": idp.origin}
    assert facts["key"] == {"level": "ok", "kid": "RS256", "algorithms": ["RS256"], "problem": None}
    assert facts["algorithms"]["announced"] == facts["algorithms"]["configured"] == ["RS256", "ES256"]
    assert (facts["RS256"], facts["ES256"]) == ({"level": "ok", "keys": 1}, {"level": "note", "keys": 0})
    assert facts["clock"] == {"level": "ok", "ahead": 0.0, "leeway": 30}
    assert (endpoint["kind"], endpoint["level"]) == ("introspection", "problem")
    idp.at[INTROSPECTION] = {"active": False}
    assert json.loads(run("--json").stdout)["ok"] is True


def test_where_nobody_is_trusted_there_is_nobody_to_ask(folder: Path) -> None:
    written()
    result = run()
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "online: nobody to ask")
    assert json.loads(run("--json").stdout)["online"] == []


def test_a_configuration_that_is_wrong_asks_nobody(idp: WholeIdp) -> None:
    written(idp.entry(algorithms=["none"]))
    assert run().exit_code == 1
    assert idp.count == 0


@pytest.mark.parametrize("how", ["basic", "post"])
@pytest.mark.parametrize("answer", [401, {"active": False}, {"active": True}, None], ids=str)
def test_c_03_the_clients_secret_is_never_printed(
    idp: WholeIdp, caplog: pytest.LogCaptureFixture, how: str, answer: Any
) -> None:
    """Nor the token that was made up; whatever the endpoint answers, None: with all that it was told."""

    def echo(handler: Handler) -> None:
        WholeIdp.send(handler, 200, str(handler.headers).encode() + idp.forms[-1], JSON)

    idp.at[INTROSPECTION] = echo if answer is None else answer
    written(idp.entry(introspection=idp.introspection(client_auth=how)))
    shown = (run().output + run("--json").output + caplog.text).encode()
    sent = [form.split(b"token=")[1].split(b"&")[0] for form in idp.forms]
    assert len(sent) == 2
    assert_clean(shown, SECRET.encode(), *sent)


# ---- nothing leaves without being asked ----

COUNTED = """
import sys
asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event in {"socket.connect", "socket.getaddrinfo"} else None)
from counterseal.cli import main
try:
    main()
finally:
    print(len(asked), file=sys.stderr)
"""


def in_a_process(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_without_online_nothing_is_looked_up_and_nobody_is_asked(idp: WholeIdp) -> None:
    here = idp.entry(discovery_uri=idp.origin.replace("127.0.0.1", "localhost") + DISCOVERY, issuer=idp.origin)
    written({**here, "introspection": idp.introspection()})
    for arguments in ((), ("--json",)):
        done = in_a_process(COUNTED, *arguments)
        assert (done.returncode, done.stderr) == (0, "0\n")
    assert idp.count == 0
    done = in_a_process(COUNTED, "--online")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "online: 1 problem"), done.stdout
    assert int(done.stderr) >= 3
    assert sorted(idp.paths) == [DISCOVERY, INTROSPECTION]


HANGING = """
import socket, threading
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
from counterseal.cli import main
main()
"""


def test_k_09_a_look_up_that_hangs_does_not_keep_the_command_from_ending(folder: Path) -> None:
    written({"name": "corp", "discovery_uri": f"https://idp.example.com{DISCOVERY}"})
    began = time.monotonic()
    done = in_a_process(HANGING, "--online")
    assert time.monotonic() - began < 60
    assert (done.returncode, done.stderr) == (1, "")
    assert f"https://idp.example.com{DISCOVERY}: no connection in time" in done.stdout
