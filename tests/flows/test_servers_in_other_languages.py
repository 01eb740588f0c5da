"""The verifying servers of `docs/verify/`, all behind one real gateway, called by the official Python client in both eras."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from mcp import MCPError
from mcp_types import TextContent

from tests.flows.test_official_python_client import innermost, visiting
from tests.support.calls import REVISION, post, refusal, tool_call
from tests.support.gateway import Gateway, Key
from tests.support.process import LISTENING, Program, free_port
from tests.verify_languages.languages import ALL, in_each_language

pytestmark = [
    pytest.mark.party("python-client"),
    pytest.mark.filterwarnings("ignore:ping is removed"),
    in_each_language,
]
SIGNED_WITH = {"typescript": "RS256", "go": "ES256", "java": "Ed25519", "rust": "RS256"}


@dataclass(frozen=True, slots=True)
class Guarded:
    """One server. url: its own address, past the gateway. through: its address behind the gateway."""

    program: Program
    url: str
    through: str

    def called_by(self, subject: str) -> re.Pattern[str]:
        return re.compile(f"get_weather was called for {subject}$", re.MULTILINE)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    servers = {
        one.name: {"url": f"http://127.0.0.1:{free_port()}/mcp", "signer": {"algorithm": SIGNED_WITH[one.name]}}
        for one in ALL
    }
    with Gateway(tmp_path_factory.mktemp("languages"), servers) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def keys(gateway: Gateway) -> dict[str, Key]:
    return {subject: gateway.create_key(subject) for subject in ("alice", "bob", "mallory")}


@pytest.fixture(scope="module")
def language(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[Guarded]:
    """Started as its page says."""
    language = request.param
    (url,) = re.findall(rf"^  {language.name}:\n    url: (\S+)$", gateway.config.read_text(), re.MULTILINE)
    port = re.findall(r":(\d+)/", url)[0]
    command = language.command("--port", port, "--issuer", gateway.issuer, "--audience", url)
    with Program(f"the server in {language.name}", command) as program:
        program.wait_for(LISTENING)
        yield Guarded(program, url, gateway.at(language.name))


@pytest.mark.parametrize("mode", [REVISION, "legacy"])
async def test_the_official_client_lists_and_calls_through_the_gateway(
    language: Guarded, keys: dict[str, Key], mode: str
) -> None:
    async with visiting(language.through, keys["alice"].secret, mode) as client:
        if mode == "legacy":
            await client.send_ping()
        assert [tool.name for tool in (await client.list_tools()).tools] == ["get_weather"]
        for city in ("Oslo", "Tromsø 😀"):
            content = (await client.call_tool("get_weather", {"city": city})).content[0]
            assert isinstance(content, TextContent)
            assert content.text == f"{city} for alice"
    language.program.wait_for(language.called_by("alice"))


def test_the_probe_finds_nothing_that_it_takes(language: Guarded, gateway: Gateway) -> None:
    name = language.through.rpartition("/")[2]
    told = json.loads(gateway.run("probe", name, "--tool", "get_weather", "--args", '{"city": "Oslo"}', "--json"))
    assert told


@pytest.mark.parametrize("mode", [REVISION, "legacy"])
async def test_who_passes_the_gateway_by_never_reaches_the_tool(
    language: Guarded, keys: dict[str, Key], mode: str
) -> None:
    with pytest.raises((MCPError, BaseExceptionGroup)) as caught:
        async with visiting(language.url, keys["mallory"].secret, mode) as client:
            await client.call_tool("get_weather", {"city": "Oslo"})
    assert innermost(caught.value)
    call = tool_call("get_weather", {"city": "Oslo"})
    assert (await refusal(language.url, call, {}))[:2] == (401, "credential_missing")
    assert (await refusal(language.url, call, keys["mallory"].headers))[:2] == (401, "invalid_token")
    assert (await post(language.through, call, keys["bob"].headers))[0] == 200
    await asyncio.to_thread(language.program.wait_for, language.called_by("bob"))
    assert not language.called_by("mallory").search(language.program.output)
