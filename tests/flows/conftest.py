"""What the flows share: a gateway with one verifying server behind it, and raw calls to say exactly what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.gateway import Gateway, Key
from tests.support.process import free_port
from tests.support.servers import ServerProcess


@dataclass(frozen=True, slots=True)
class Countersigned:
    """A gateway, the official SDK's server that verifies behind it, and the key of a caller who may all but `forbidden`."""

    gateway: Gateway
    server: ServerProcess
    key: Key

    @property
    def address(self) -> str:
        return self.gateway.at("everything")


@pytest.fixture(scope="session")
def countersigned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Countersigned]:
    gateway_port, server_port = free_port(), free_port()
    url = f"http://127.0.0.1:{server_port}/mcp"
    issuer = f"http://127.0.0.1:{gateway_port}"
    policy = [{"deny": {"tools": ["forbidden"]}}, {"permit": {"servers": ["everything"]}}]
    with (
        ServerProcess("everything", server_port, "--issuer", issuer, "--audience", url) as server,
        Gateway(
            tmp_path_factory.mktemp("countersigned"), {"everything": {"url": url}}, port=gateway_port, policy=policy
        ) as gateway,
    ):
        yield Countersigned(gateway, server, gateway.create_key("alice", "--team", "data"))
