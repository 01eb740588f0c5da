"""LiteLLM's proxy in a process of its own and an environment of its own, without a database.

`tests/parties/litellm/install.sh` makes the environments; tests carry `@pytest.mark.party("litellm")`. The configuration is
LiteLLM's own `config.yaml`, written from plain values.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.parties import LITELLM
from tests.support.process import ROOT, Program, free_port

MASTER_KEY: Final = "sk-tests-0123456789abcdef0123456789abcdef"
KEY: Final = {"x-litellm-api-key": f"Bearer {MASTER_KEY}"}
"""What a client sends so that LiteLLM lets it in, beside a token for us."""
_UP: Final = re.compile(r"Uvicorn running on (http://\S+)")


def guardrail(config: Path, **parameters: Any) -> dict[str, Any]:
    """The entry of ours under `guardrails:`."""
    return {
        "guardrail_name": "counterseal",
        "litellm_params": {
            "guardrail": "counterseal.integrations.litellm.CountersealGuardrail",
            "mode": "pre_mcp_call",
            "default_on": True,
            "counterseal_config": str(config),
            **parameters,
        },
    }


class LiteLLM:
    """Running. `with` ends it.

    folder: of its own. servers: its `mcp_servers:`; every key may use them. guardrails: whole entries. modules: files beside
    the configuration, as LiteLLM looks for them. interpreter: of which environment.
    """

    def __init__(
        self,
        folder: Path,
        servers: Mapping[str, Mapping[str, Any]],
        guardrails: list[dict[str, Any]],
        *,
        port: int | None = None,
        modules: Mapping[str, str] | None = None,
        workers: int = 1,
        interpreter: Path = LITELLM,
        environment: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> None:
        port = port or free_port()
        for name, text in (modules or {}).items():
            (folder / f"{name}.py").write_text(text)
        config = folder / "config.yaml"
        whole = {
            "model_list": [],
            "general_settings": {"master_key": MASTER_KEY, **changes},
            "mcp_servers": {
                name: {"transport": "http", "allow_all_keys": True, **one} for name, one in servers.items()
            },
            "guardrails": guardrails,
        }
        config.write_text(yaml.safe_dump(whole, sort_keys=False))
        command = [str(interpreter.with_name("litellm")), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--telemetry", "False", "--num_workers", str(workers)]
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(ROOT / "src"), "NO_PROXY": "*"}
        self.program = Program("LiteLLM", command, {**quiet, **(environment or {})}, tracebacks=True)
        self.url = f"http://127.0.0.1:{port}"
        try:
            self.program.wait_for(_UP, 150)
            self.program.wait_for(re.compile("Application startup complete"), 150)
        except AssertionError:
            self.program.stop()
            raise

    def at(self, server: str) -> str:
        """The MCP address of one server."""
        return f"{self.url}/mcp/{server}"

    def get(self, path: str) -> tuple[int, bytes]:
        """One request: status and body."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    def stop(self) -> str:
        return self.program.stop(30)

    def __enter__(self) -> LiteLLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
