"""`counterseal demo`: everything for real, on this machine, with nothing to set up.

A gateway with a store of its own, a small MCP server that refuses what is not countersigned, one call of the official client
through the gateway, and three refusals of the server itself. What the demo shows is what happened: where a step does not go as
it should, the demo fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import uvicorn

from counterseal.cli.claim_words import word
from counterseal.cli.serve import Server, uvicorn_config
from counterseal.core.limits import LIMITS
from counterseal.errors import ConfigError
from counterseal.jose.strict import for_display_only
from counterseal.verify import Verifier
from counterseal.verify.asgi import CountersealMiddleware

_CONFIG: Final = """\
issuer: {issuer}
listen: {{host: 127.0.0.1, port: {port}}}
store: sqlite:counterseal.db
callers: {{api_keys: true}}
servers:
  weather: {{url: "{weather}", description: Forecasts}}
  notes: {{url: "{notes}", description: Notes}}
policy:
  - permit: {{callers: {{team: demo}}, servers: [weather, notes]}}
audit: {{sink: "file:audit/"}}
"""

_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@click.command()
@click.option("--once", is_flag=True, help="Exit after the call: 0 only if everything happened as shown.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8460, show_default=True, help="Where the gateway listens."
)
def demo(once: bool, port: int) -> None:
    """A gateway, a server that verifies, one countersigned call, three refusals.

    \b
    Examples:
      counterseal demo
      counterseal demo --once
    """
    try:
        import mcp  # noqa: F401, PLC0415  # an extra: only the demo needs a client and a server
    except ImportError:
        raise ConfigError("the demo needs the official MCP SDK: pip install 'counterseal[demo]'") from None
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    finished = False
    with (
        tempfile.TemporaryDirectory(prefix="counterseal-demo-") as folder,
        contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError),
    ):
        try:
            asyncio.run(_demo(Path(folder), port, once=once))
            finished = True
        except (ExceptionGroup, OSError) as error:
            raise ConfigError(f"the demo failed: {_innermost(error)}") from None
    if once and not finished:
        raise ConfigError("the demo was ended before it had shown everything")


class _Server(uvicorn.Server):
    """One of several servers in one event loop: signals are the demo's, not each server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _GatewayServer(_Server, Server):
    """The gateway's, which ends calls as the gateway's does."""


@dataclass
class _Seen:
    """What reached a server's door, and what its tool did."""

    tokens: list[str] = field(default_factory=list, repr=False)
    ran: int = 0


def _innermost(error: BaseException) -> str:
    """What happened inside nested groups, as the client reports it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def _demo(folder: Path, port: int, *, once: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    gateway_socket = _listen(port)
    sockets = {"weather": _listen(0), "notes": _listen(0)}
    issuer = f"http://127.0.0.1:{gateway_socket.getsockname()[1]}"
    urls = {name: f"http://127.0.0.1:{bound.getsockname()[1]}/mcp" for name, bound in sockets.items()}
    config = folder / "counterseal.yaml"
    config.write_text(_CONFIG.format(issuer=issuer, port=gateway_socket.getsockname()[1], **urls))
    seen = {name: _Seen() for name in sockets}
    async with contextlib.AsyncExitStack() as stack:
        for name, bound in sockets.items():
            app = _server(name, Verifier(issuer=issuer, audience=urls[name]), seen[name])
            server = _Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
            await stack.enter_async_context(_serving(server, bound))
        key = await asyncio.to_thread(_make_key, config)
        gateway = _GatewayServer(uvicorn_config(config), lambda: None)
        await stack.enter_async_context(_serving(gateway, gateway_socket))
        _say("1. The gateway and two servers are up")
        click.echo(f"   gateway  {issuer}\n   weather  {urls['weather']}\n   notes    {urls['notes']}")
        await _show_call(issuer, key, seen["weather"])
        await _show_refusals(issuer, key, urls["weather"], seen)
        if once:
            return
        _say_next(issuer, key, config, urls["weather"])
        await asyncio.Event().wait()


def _listen(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror}; end what listens there, or: counterseal demo --port 0"
        ) from None
    return bound


@asynccontextmanager
async def _serving(server: uvicorn.Server, bound: socket.socket) -> AsyncIterator[None]:
    """A server inside this event loop, for as long as the block lasts."""
    task = asyncio.ensure_future(server.serve(sockets=[bound]))
    while not server.started and not task.done():  # noqa: ASYNC110  # the server tells nobody when it has started
        await asyncio.sleep(0.01)
    try:
        if task.done():
            task.result()
            raise ConfigError("the demo's own server did not start")
        yield
    finally:
        server.should_exit = True
        await task


def _server(name: str, verifier: Verifier, seen: _Seen) -> Any:
    """A small MCP server on the official SDK, behind our verifier: these are the two lines that a server's author writes."""
    from mcp.server import MCPServer  # noqa: PLC0415

    server = MCPServer(name, log_level="CRITICAL")

    @server.tool()
    def get_weather(city: str) -> str:
        """Tomorrow's weather in a city."""
        seen.ran += 1
        return f"{city}: 21 °C, a light breeze"

    guarded = CountersealMiddleware(server.streamable_http_app(), verifier, paths=["/mcp"])
    return _Doorkeeper(guarded, seen)


class _Doorkeeper:
    """Notes the tokens that come to a server's door, for the demo to show them and to try to use them again."""

    def __init__(self, app: Any, seen: _Seen) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for name, value in scope.get("headers", ()):
            if name == b"authorization":
                self._seen.tokens.append(value.decode("latin-1").removeprefix("Bearer "))
        await self._app(scope, receive, send)


def _make_key(config: Path) -> str:
    """An API key, made as anybody would make it."""
    command = [sys.executable, "-m", "counterseal", "apikey", "create", "--subject", "alice", "--agent", "demo-agent"]
    command += ["--team", "demo", "--json", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
    if done.returncode:
        raise ConfigError(f"the demo's API key could not be made: {done.stderr.strip()}")
    secret: str = json.loads(done.stdout)["secret"]
    return secret


async def _show_call(issuer: str, key: str, seen: _Seen) -> None:
    import httpx2  # noqa: PLC0415
    from mcp import Client  # noqa: PLC0415
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

    _say("2. The official MCP client calls get_weather(city='Oslo') through the gateway, with an API key")
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http,
        Client(streamable_http_client(f"{issuer}/mcp/weather", http_client=http)) as client,
    ):
        result = await client.call_tool("get_weather", {"city": "Oslo"})
        text = getattr(result.content[0], "text", "")
    if result.is_error or seen.ran != 1 or "Oslo" not in text:
        raise ConfigError(f"the call did not go through: {text or result}")
    click.echo(f"   answer   {click.style(text, fg='green')}")
    token = next(token for token in reversed(seen.tokens) if _operation(token) == "mcp:tools/call:get_weather")
    _say("3. What the server got instead of the API key: a token for this one call")
    header, claims = for_display_only(token, LIMITS)
    click.echo(f"   {click.style('header', bold=True)} {json.dumps(header)}")
    click.echo(click.style("       its algorithm, its kind, and which key of the JWKS signed it", dim=True))
    for name, value in claims.items():
        click.echo(f"   {click.style(name, bold=True)} {json.dumps(value, ensure_ascii=False)}")
        click.echo(click.style(f"       {word(name)}", dim=True))


def _operation(token: str) -> str:
    return str(for_display_only(token, LIMITS)[1].get("scope"))


async def _show_refusals(issuer: str, key: str, url: str, seen: dict[str, _Seen]) -> None:
    """Three calls straight to the weather server, past the gateway, with what an attacker might hold."""
    import httpx2  # noqa: PLC0415

    _say("4. Past the gateway, straight to the weather server: three refusals")
    async with httpx2.AsyncClient() as http:
        call = {"city": "Oslo"}
        first = await _call(http, f"{issuer}/mcp/notes", key, call)
        theirs = next(token for token in reversed(seen["notes"].tokens) if "tools/call" in _operation(token))
        second = await _call(http, f"{issuer}/mcp/weather", key, call)
        if (first[0], second[0]) != (200, 200):
            raise ConfigError(f"the calls that make tokens to attack with failed: {first} {second}")
        ours = next(token for token in reversed(seen["weather"].tokens) if "tools/call" in _operation(token))
        ran = seen["weather"].ran
        attempts = (
            ("no token", None, call, {401}),
            ("a token for another server (notes)", theirs, call, {401, 403}),
            ("the token of a real call, with other arguments", ours, {"city": "Paris"}, {401, 403}),
        )
        for what, token, arguments, expected in attempts:
            status, text = await _call(http, url, token, arguments)
            click.echo(f"   {what}\n       {click.style(f'{status} {text}', fg='red')}")
            if status not in expected or seen["weather"].ran != ran:
                raise ConfigError(f"the server should have refused {what}, and did not")


async def _call(http: Any, url: str, token: str | None, arguments: dict[str, str]) -> tuple[int, str]:
    """One modern tools/call; its status and what it says."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "counterseal-demo", "version": "1"},
    }
    params = {"name": "get_weather", "arguments": arguments, "_meta": meta}
    headers = {
        **_HEADERS,
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "get_weather",
        **({"Authorization": f"Bearer {token}"} if token else {}),
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = await http.post(url, headers=headers, json=message)
    try:
        return answer.status_code, answer.json().get("error", {}).get("message", "")
    except ValueError:
        return answer.status_code, ""


def _say(text: str) -> None:
    click.echo("\n" + click.style(text, bold=True))


def _say_next(issuer: str, key: str, config: Path, url: str) -> None:
    command = "counterseal" if shutil.which("counterseal") else str(Path(sys.argv[0]).resolve())
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "curl", "version": "1"}}
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    _say("Everything stays up. Things to try in another terminal:")
    for line in (
        f"curl {issuer}/.well-known/jwks.json",
        f"curl -i -X POST {url}        # the server itself refuses you; through the gateway it does not:",
        f"curl -i {issuer}/mcp/weather -H 'Authorization: Bearer {key}' \\",
        f"     -H 'Content-Type: application/json' -H 'Accept: {_HEADERS['Accept']}' \\",
        f"     -d '{message}'",
        f"{command} audit tail {config.parent / 'audit'}",
        f"{command} keys list --config {config}",
        f"{command} apikey create --subject bob --team demo --config {config}",
    ):
        click.echo(f"   {line}")
    click.echo("\nCtrl-C ends it and leaves nothing behind.")
