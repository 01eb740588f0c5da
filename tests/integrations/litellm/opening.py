"""A configuration file and the guardrail's inside over it, in this process and without LiteLLM."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from counterseal.config.load import load
from counterseal.integrations.litellm import settings
from counterseal.integrations.litellm.open_records import OpenRecords
from counterseal.integrations.litellm.running import Running
from counterseal.integrations.litellm.signing import Signed, Signing, ToolCall

ISSUER = "https://litellm.example.com/counterseal"
URL = "https://weather.example.com/mcp"


def key(**changes: Any) -> SimpleNamespace:
    """LiteLLM's `UserAPIKeyAuth`, as far as it is read."""
    holder = {"token": "0f" * 32, "user_id": "alice", "team_id": "data", "metadata": {}, "team_metadata": None}
    return SimpleNamespace(**{**holder, **changes})


def written(folder: Path, **changes: Any) -> Path:
    folder.chmod(0o700)
    whole = {
        "issuer": ISSUER,
        "store": f"sqlite:{folder}/counterseal.db",
        "callers": {"api_keys": True},
        "servers": {"weather": {"url": URL}},
        "policy": [{"deny": {"tools": ["delete_*"]}}, {"permit": {"servers": ["weather"]}}],
        "audit": {"sink": f"file:{folder}/audit"},
        **changes,
    }
    path = folder / "counterseal.yaml"
    path.write_text(yaml.safe_dump(whole))
    return path


def read(config: Path, **parameters: Any) -> settings.Settings:
    named = {"counterseal_config": str(config), "counterseal_callers": "litellm", **parameters}
    return settings.read(mode="pre_mcp_call", default_on=True, parameters=named, known={"api_base"})


@dataclass(frozen=True, slots=True)
class Opened:
    sign: Signing
    records: OpenRecords
    folder: Path

    async def __call__(self, **changes: Any) -> Signed | None:
        call = {
            "id": "call-1",
            "server": "weather",
            "name": "get_weather",
            "arguments": {"city": "Oslo"},
            "auth": key(),
        }
        return await self.sign(ToolCall(**{**call, **changes}))

    def entries(self) -> list[dict[str, Any]]:
        lines = [line for path in sorted((self.folder / "audit").iterdir()) for line in path.read_text().splitlines()]
        return [entry for entry in map(json.loads, lines) if "record" in entry]


@asynccontextmanager
async def opened(folder: Path, parameters: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[Opened]:
    """After the block everything is closed, and what was written can be read."""
    path = written(folder, **changes)
    records = OpenRecords(60)
    running = Running(load(path), records.close)
    try:
        yield Opened(Signing(read(path, **(parameters or {})), running, records), records, folder)
    finally:
        await running.close()
