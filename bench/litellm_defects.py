"""What LiteLLM's signer gets wrong, tried with a real LiteLLM, and the same with Counterseal in its place.

    python -m bench.litellm_defects [--write]

Nothing here is taken from anybody's word: each row is made by requests to both, and says what was seen. What LiteLLM has mended
meanwhile shows as that. `--write` puts the table into docs/from-litellm.md.

Exit code 0: Counterseal did right in every row. 1: not in one, or something did not start. 2: LiteLLM is not installed.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench import processes
from bench.call import REVISION
from bench.idp import KeyServer
from bench.jose import Held, new_key, token
from counterseal.core.limits import LIMITS

PAGE: Final = Path(__file__).parents[1] / "docs" / "from-litellm.md"
BEGIN: Final = "<!-- table: written by python -m bench.litellm_defects --write -->"
END: Final = "<!-- end of table -->"
HEAD: Final = ("tried", "LiteLLM", "Counterseal")
_TOOL: Final = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}
_DISCOVERY: Final = "/.well-known/openid-configuration"
_CLIENT_SECRET: Final = "COUNTERSEAL_BENCH_SECRET"


@dataclass(frozen=True, slots=True)
class Tried:
    """One row. theirs, ours: what was seen. mended: LiteLLM does right. right: we do."""

    what: str
    theirs: str
    ours: str
    mended: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def is_error(self) -> bool:
        """Whether an MCP client takes it for a failure."""
        return self.status != 200 or '"isError":true' in self.text.replace(" ", "") or '"error":' in self.text


@dataclass(frozen=True, slots=True)
class Request:
    """As it came to the server."""

    method: str
    authorization: str | None

    @property
    def scope(self) -> str:
        """What the token in it says, unverified: this server is only a witness."""
        try:
            middle = (self.authorization or "").removeprefix("Bearer ").split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        except (IndexError, ValueError):
            return ""
        return str(claims.get("scope", ""))


@dataclass(slots=True)
class Witness:
    """An MCP server of both eras, which notes what comes. strict: refuses `tools/list` with a token whose scope is for
    something else, as servers do that look at scopes."""

    strict: bool = False
    seen: list[Request] = field(default_factory=list)
    url: str = ""

    def calls(self) -> list[Request]:
        return [one for one in self.seen if one.method == "tools/call"]

    def answer(self, request: Request, message: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
        self.seen.append(request)
        if "id" not in message:
            return 202, None
        if (
            self.strict
            and request.method == "tools/list"
            and request.authorization
            and "mcp:tools/list" not in request.scope
        ):
            return 403, None
        fresh = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        info = {"name": "witness", "version": "1"}
        capabilities = {"tools": {}}
        results: dict[str, dict[str, Any]] = {
            "initialize": {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info},
            "server/discover": {**fresh, "supportedVersions": [REVISION], "capabilities": capabilities},
            "tools/list": {**fresh, "tools": [_TOOL]},
            "tools/call": {"resultType": "complete", "content": [{"type": "text", "text": "done"}], "isError": False},
        }
        return 200, {"jsonrpc": "2.0", "id": message["id"], "result": results.get(request.method, fresh)}


@contextmanager
def serving(witness: Witness) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            status, answer = witness.answer(Request(body.get("method", ""), self.headers.get("Authorization")), body)
            self._send(status, b"" if answer is None else json.dumps(answer).encode())

        def do_GET(self) -> None:
            witness.seen.append(Request("GET", self.headers.get("Authorization")))
            self._send(405, b"")

        do_DELETE = do_GET  # noqa: N815  # as http.server asks for it

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    witness.url = f"http://127.0.0.1:{server.server_address[1]}/mcp"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Idp(KeyServer):
    """An identity provider whose key can change, and whose introspection endpoint counts and takes anything."""

    def __init__(self) -> None:
        super().__init__({})
        self.introspected: list[str | None] = []
        outer = self

        def do_POST(handler: http.server.BaseHTTPRequestHandler) -> None:  # noqa: N802
            handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
            outer.introspected.append(handler.headers.get("Authorization"))
            body = json.dumps({"active": True, "sub": "opal", "aud": "litellm", "exp": int(time.time()) + 600}).encode()
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        self._server.RequestHandlerClass.do_POST = do_POST  # type: ignore[attr-defined]
        self.rotate("k1")

    def rotate(self, kid: str) -> None:
        """Sign with a new key from now on, and publish it beside the old one."""
        old = [self.held.jwk()] if hasattr(self, "held") else []
        self.held = Held("RS256", kid, new_key("RS256"))
        document = {
            "issuer": self.origin,
            "jwks_uri": f"{self.origin}/jwks",
            "introspection_endpoint": f"{self.origin}/introspect",
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        self.publish({_DISCOVERY: document, "/jwks": {"keys": [*old, self.held.jwk()]}})

    def token(self) -> str:
        now = int(time.time())
        claims = {
            "iss": self.origin,
            "aud": "litellm",
            "sub": "alice",
            "client_id": "ide",
            "iat": now,
            "exp": now + 300,
        }
        return token(self.held, claims).decode()


def call(url: str, headers: Mapping[str, str], method: str = "tools/call") -> Answer:
    """One request of revision 2026-07-28."""
    params: dict[str, Any] = {"name": "echo", "arguments": {"text": "hello"}} if method == "tools/call" else {}
    params["_meta"] = {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    sent = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": REVISION,
        "Mcp-Method": method,
        **({"Mcp-Name": "echo"} if method == "tools/call" else {}),
        **headers,
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return _ask("POST", url, sent, json.dumps(message).encode())


def get(url: str) -> Answer:
    return _ask("GET", url, {}, None)


def _ask(verb: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    connection.request(verb, place.path, body, dict(headers))
    answer = connection.getresponse()
    made = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
    connection.close()
    return made


@dataclass(frozen=True, slots=True)
class Both:
    """LiteLLM and Counterseal with one server each that is easy, and one that looks at scopes."""

    theirs: processes.Started
    ours: processes.Started
    their_server: Witness
    our_server: Witness
    their_strict: Witness
    our_strict: Witness
    their_idp: Idp
    our_idp: Idp

    def litellm(self, headers: Mapping[str, str], server: str = "plain", method: str = "tools/call") -> Answer:
        return call(f"{self.theirs.url}/mcp/{server}", {**self.theirs.headers, **headers}, method)

    def counterseal(self, headers: Mapping[str, str], server: str = "plain", method: str = "tools/call") -> Answer:
        return call(f"{self.ours.url}/mcp/{server}", headers, method)


def _signed(requests: list[Request]) -> str:
    """What stood in `Authorization` of the last call."""
    if not requests:
        return "no call arrives"
    value = requests[-1].authorization
    if value is None:
        return "the call arrives without any token"
    return "the call arrives with the signed token" if value.count(".") == 2 else f"the call arrives with `{value}`"


def stripped(both: Both) -> Tried:
    said: dict[str, list[str]] = {"theirs": [], "ours": []}
    for header in ("x-mcp-auth", "x-mcp-plain-authorization"):
        both.litellm({header: "Bearer x"})
        said["theirs"].append(f"`{header}`: {_signed(both.their_server.calls())}")
        both.counterseal({"Authorization": f"Bearer {both.our_idp.token()}", header: "Bearer x"})
        said["ours"].append(_signed(both.our_server.calls()))
    good = {"the call arrives with the signed token"}
    mended = all(one.endswith("with the signed token") for one in said["theirs"])
    return Tried(
        "a caller sends `x-mcp-auth: Bearer x`, or `x-mcp-<server>-authorization: Bearer x`",
        "; ".join(said["theirs"]),
        "; ".join(dict.fromkeys(said["ours"])),
        mended,
        set(said["ours"]) == good,
    )


def scopes(both: Both) -> Tried:
    theirs = both.litellm({}, "strict")
    ran = len(both.their_strict.calls())
    ours = both.counterseal({"Authorization": f"Bearer {both.our_idp.token()}"}, "strict")
    listed = both.counterseal({"Authorization": f"Bearer {both.our_idp.token()}"}, "strict", "tools/list")
    our_ran = len(both.our_strict.calls())

    def told(answer: Answer, times: int) -> str:
        ran = "once" if times == 1 else f"{times} times"
        return f"the tool ran {ran}, and the caller is told {'an error' if answer.is_error else 'its result'}"

    return Tried(
        "one call, to a server that takes `tools/list` only with the scope `mcp:tools/list`",
        told(theirs, ran),
        told(ours, our_ran) + ("; `tools/list` has its own token" if not listed.is_error else "; `tools/list` fails"),
        ran == 1 and not theirs.is_error,
        our_ran == 1 and not ours.is_error and not listed.is_error,
    )


def rotated(both: Both) -> Tried:
    for idp, ask in ((both.their_idp, both.litellm), (both.our_idp, both.counterseal)):
        before = ask({"Authorization": f"Bearer {idp.token()}"})
        if before.is_error:
            raise RuntimeError(f"a good token was refused before any rotation: {before.text[:300]}")
        idp.rotate("k2")
    time.sleep(LIMITS.refetch_cooldown_seconds)  # so that neither has just asked
    theirs = both.litellm({"Authorization": f"Bearer {both.their_idp.token()}"})
    ours = both.counterseal({"Authorization": f"Bearer {both.our_idp.token()}"})

    def told(answer: Answer) -> str:
        if not answer.is_error:
            return "the next call is accepted: the keys are asked for again, at most every 30 s"
        why = ": " + "`No JWKS key matching kid`" if "No JWKS key matching" in answer.text else ""
        return f"calls are refused{why}, for as long as the key set is kept, an hour"

    return Tried(
        "the identity provider publishes a new key and signs with it",
        told(theirs),
        told(ours),
        not theirs.is_error,
        not ours.is_error,
    )


def refused(both: Both) -> Tried:
    theirs = both.litellm({"Authorization": "Bearer bad.bad.bad"})
    ours = both.counterseal({"Authorization": "Bearer bad.bad.bad"})

    def told(answer: Answer) -> str:
        challenge = "with" if "www-authenticate" in answer.headers else "without"
        result = ", and a result with `isError`" if "isError" in answer.text else ""
        return f"HTTP {answer.status} {challenge} `WWW-Authenticate`{result}"

    good = theirs.status == 401 and "www-authenticate" in theirs.headers
    ours_good = ours.status == 401 and "www-authenticate" in ours.headers
    return Tried("a bad token of the caller's, to an MCP address", told(theirs), told(ours), good, ours_good)


def introspected(both: Both) -> Tried:
    counts = []
    for idp, ask in ((both.their_idp, both.litellm), (both.our_idp, both.counterseal)):
        idp.introspected.clear()
        answers = [ask({"Authorization": "Bearer opaque-0123456789"}) for _ in range(3)]
        if any(answer.is_error for answer in answers):
            raise RuntimeError(f"an opaque token was refused: {answers[0].text[:300]}")
        counts.append((len(idp.introspected), all(idp.introspected)))

    def told(count: int, proven: bool) -> str:
        times = "request" if count == 1 else "requests"
        return f"{count} {times} to the introspection endpoint, {'with' if proven else 'without'} a client's credential"

    (theirs, their_proof), (ours, our_proof) = counts
    return Tried(
        "the same opaque token, three times",
        told(theirs, their_proof),
        told(ours, our_proof),
        theirs == 1 and their_proof,
        ours == 1 and our_proof,
    )


def at_start(theirs: list[Request], ours: list[Request]) -> Tried:
    def told(seen: list[Request]) -> str:
        unsigned = [one.method for one in seen if one.authorization is None]
        if not unsigned:
            return "nothing is sent"
        return f"{len(unsigned)} requests without any token: {', '.join(f'`{one}`' for one in dict.fromkeys(unsigned))}"

    return Tried(
        "start, with servers configured",
        told(theirs),
        told(ours),
        all(one.authorization for one in theirs),
        not ours,
    )


def two_workers(interpreter: Path, folder: Path) -> Tried:
    own = {"mcp_servers": {}, "guardrails": [_signer()]}
    with processes.litellm(interpreter, own, None, folder / "two", "--num_workers", "2") as theirs:
        _both_up(theirs)
        their_kids = _kids(f"{theirs.url}/.well-known/jwks.json", 24)
    configuration = {"callers": {"anonymous": True}, "servers": {"plain": {"url": "http://127.0.0.1:9/mcp"}}}
    with processes.served(configuration, folder / "ours-two", "--workers", "2") as ours:
        our_kids = _kids(f"{ours.url}/.well-known/jwks.json", 24)

    def told(kids: list[str]) -> str:
        sets = sorted((kids.count(one) for one in set(kids)), reverse=True)
        if len(sets) == 1:
            return "one key set, from every worker"
        return f"{len(sets)} key sets, served at random: {' and '.join(map(str, sets))} times"

    return Tried(
        "two workers and no key configured; the key set, 24 times",
        told(their_kids),
        told(our_kids),
        len(set(their_kids)) == 1,
        len(set(our_kids)) == 1,
    )


def _both_up(started: processes.Started) -> None:
    """The first of two workers is enough for `Started`; wait for the other."""
    log = Path(started.folder or "") / "litellm.log"
    ends = time.monotonic() + 120
    while log.read_text(errors="replace").count("Application startup complete") < 2 and time.monotonic() < ends:
        time.sleep(0.2)


def _kids(url: str, times: int) -> list[str]:
    found = [json.loads(get(url).text)["keys"] for _ in range(times)]
    return ["+".join(key["kid"] for key in keys) for keys in found]


def without_exp(interpreter: Path, folder: Path, witness: Witness) -> Tried:
    own = {"mcp_servers": {"plain": _entry(witness)}, "guardrails": [_signer(remove_claims=["exp"])]}
    with processes.litellm(interpreter, own, None, folder / "exp") as theirs:
        before = len(witness.calls())
        answer = call(f"{theirs.url}/mcp/plain", theirs.headers)
        ran = len(witness.calls()) - before
    file = folder / "exp.yaml"
    server = {"url": witness.url, "signer": {"remove_claims": ["exp"]}}
    ours = {"issuer": "http://127.0.0.1:8460", "callers": {"anonymous": True}, "servers": {"plain": server}}
    file.write_text(json.dumps(ours))
    command = [str(Path(sys.executable).with_name("counterseal")), "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = done.returncode == 1 and "remove_claims" in done.stdout + done.stderr
    failed = answer.is_error and not ran
    return Tried(
        "`remove_claims: [exp]`",
        "it starts, and every call fails" if failed else "it starts, and calls leave without `exp`",
        "refused at start, with the line" if told else "it starts",
        False,
        told,
    )


def _entry(witness: Witness) -> dict[str, Any]:
    return {"url": witness.url, "transport": "http", "allow_all_keys": True}


def _signer(**more: Any) -> dict[str, Any]:
    parameters = {
        "guardrail": "mcp_jwt_signer",
        "mode": "pre_mcp_call",
        "default_on": True,
        "issuer": "http://127.0.0.1",
    }
    return {"guardrail_name": "signer", "litellm_params": {**parameters, **more}}


TRIED: Final[tuple[Callable[[Both], Tried], ...]] = (stripped, scopes, rotated, refused, introspected)


def run(interpreter: Path, folder: Path) -> list[Tried]:
    """Every row. Raises NotStarted, and RuntimeError where something is not as it has to be before a row can be tried."""
    os.environ[_CLIENT_SECRET] = "a-secret-of-the-bench"
    rows: dict[str, Tried] = {}
    with ExitStack() as running:
        witnesses = [Witness(), Witness(), Witness(strict=True), Witness(strict=True)]
        for witness in witnesses:
            running.enter_context(serving(witness))
        plain, our_plain, strict, our_strict = witnesses
        their_idp, our_idp = running.enter_context(Idp()), running.enter_context(Idp())
        signer = _signer(
            access_token_discovery_uri=f"{their_idp.origin}{_DISCOVERY}",
            token_introspection_endpoint=f"{their_idp.origin}/introspect",
            verify_audience="litellm",
        )
        own = {"mcp_servers": {"plain": _entry(plain), "strict": _entry(strict)}, "guardrails": [signer]}
        theirs = running.enter_context(processes.litellm(interpreter, own, None, folder / "one"))
        _say("LiteLLM is up")
        time.sleep(3)  # what it sends at start, it sends a little later
        at_their_start = [*plain.seen, *strict.seen]
        issuer = {
            "name": "corp",
            "discovery_uri": f"{our_idp.origin}{_DISCOVERY}",
            "audience": ["litellm"],
            "bare": True,
            "allow_insecure_loopback": True,
            "introspection": {
                "endpoint": f"{our_idp.origin}/introspect",
                "client_id": "gateway",
                "client_secret": f"env:{_CLIENT_SECRET}",
            },
        }
        configuration = {
            "callers": {"issuers": [issuer]},
            "signer": {"profile": "litellm"},
            "servers": {"plain": {"url": our_plain.url}, "strict": {"url": our_strict.url}},
            "policy": [{"permit": {"servers": ["plain", "strict"]}}],
        }
        ours = running.enter_context(processes.served(configuration, folder / "ours"))
        time.sleep(1)
        rows["at_start"] = at_start(at_their_start, [*our_plain.seen, *our_strict.seen])
        both = Both(theirs, ours, plain, our_plain, strict, our_strict, their_idp, our_idp)
        for one in TRIED:
            _say(one.__name__)
            rows[one.__name__] = one(both)
    with ExitStack() as running:
        witness = Witness()
        running.enter_context(serving(witness))
        _say("two_workers")
        rows["two_workers"] = two_workers(interpreter, folder)
        _say("without_exp")
        rows["without_exp"] = without_exp(interpreter, folder, witness)
    order = ("stripped", "scopes", "rotated", "two_workers", "refused", "introspected", "at_start", "without_exp")
    return [rows[name] for name in order]


def release(interpreter: Path) -> str:
    command = [str(interpreter), "-c", "from importlib.metadata import version; print(version('litellm'))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def table(rows: list[Tried], version: str) -> str:
    """In Markdown. What LiteLLM does right by now says so."""
    lines = [f"| {HEAD[0]} | {HEAD[1]} {version} | {HEAD[2]} |", "|---|---|---|"]
    for row in rows:
        theirs = f"{row.theirs} (mended)" if row.mended else row.theirs
        lines.append(f"| {row.what} | {theirs} | {row.ours if row.right else f'**{row.ours}**'} |")
    return "\n".join(lines)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.litellm_defects", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/from-litellm.md")
    options = parser.parse_args(arguments)
    interpreter = processes.litellm_interpreter()
    if interpreter is None:
        _say("LiteLLM is not installed: sh tests/parties/litellm/install.sh")
        return 2
    with tempfile.TemporaryDirectory(prefix="counterseal-bench-") as folder:
        try:
            rows = run(interpreter, Path(folder))
        except (processes.NotStarted, RuntimeError, OSError) as problem:
            _say(f"{type(problem).__name__}: {problem}")
            return 1
    made = table(rows, release(interpreter))
    print(made)
    if options.write:
        text = PAGE.read_text()
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}")
    return 0 if all(row.right for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
