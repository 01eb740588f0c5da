"""docs/identity.md, done as it says with the certified `oidc-provider`: its configuration and its agent, as they stand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, get_args

import pytest
import yaml

from counterseal.jose.refusal import Code
from tests.docs import pages
from tests.support.gateway import COMMAND
from tests.support.oidc_provider import AGENT, OidcProvider
from tests.support.process import LISTENING, Program, free_port

PAGE: Final = "docs/identity.md"


def run(folder: Path, *command: str, secret: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "", "AGENT_SECRET": secret}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.party("oidc-provider", "python-client")
def test_an_agent_calls_with_a_token_as_the_page_says(tmp_path: Path) -> None:
    port, server_port = free_port(), free_port()
    gateway_address = f"http://127.0.0.1:{port}"
    with OidcProvider() as idp:
        here = {
            "https://gateway.example.com": gateway_address,
            "https://idp.example.com": idp.issuer,
            "http://127.0.0.1:8460": gateway_address,
            "127.0.0.1:8000": f"127.0.0.1:{server_port}",
            "port=8000": f"port={server_port}",
            # What the page itself says of an IdP on this machine.
            "    - name: corp\n": "    - name: corp\n      allow_insecure_loopback: true\n",
        }
        blocks = {
            "counterseal.yaml": pages.block(PAGE, "complete"),
            "agent.py": pages.block(PAGE, "example=agent.py"),
            "weather.py": pages.block("README.md", "walkthrough=weather.py"),
        }
        for name, block in blocks.items():
            text = block.text
            for old, new in here.items():
                text = text.replace(old, new)
            (tmp_path / name).write_text(text)
        idp.set(resources={f"{gateway_address}/mcp/weather": "ES256"}, scope="mcp:call")
        checked = run(tmp_path, COMMAND, "check", "--online")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "issuer corp" in checked.stdout
        serve = [COMMAND, "serve", "--config", str(tmp_path / "counterseal.yaml"), "--port", str(port)]
        server = [sys.executable, str(tmp_path / "weather.py")]
        with Program("weather.py", server) as weather, Program("the gateway", serve) as gateway:
            weather.wait_for(re.compile("Uvicorn running on"))
            gateway.wait_for(LISTENING)
            called = run(tmp_path, sys.executable, "agent.py", secret=AGENT.secret)
            assert called.stdout.strip() == "Oslo, 3 days: 21 degrees, a light breeze", called.stderr
            idp.set(claims={"groups": ["sales"]})
            refused = run(tmp_path, sys.executable, "agent.py", secret=AGENT.secret)
            assert "no policy rule permits" in refused.stderr
    told = run(tmp_path, COMMAND, "audit", "tail", "audit", "--json").stdout
    entries = [json.loads(line) for line in told.splitlines()]
    assert [entry["sub"] for entry in entries if entry.get("name") == "get_forecast" and "sub" in entry] == ["agent"]
    assert {"credential_missing", "policy_denied"} <= {entry.get("reason") for entry in entries}


def test_every_reason_of_a_refused_token_has_its_row() -> None:
    section = (pages.ROOT / PAGE).read_text().partition("## When it is refused")[2].partition("\n## ")[0]
    assert {cells[0].strip("`") for cells in pages.rows(section)} == set(get_args(Code))


def test_the_configuration_asks_for_a_type_and_a_scope() -> None:
    """So that it refuses ID tokens whatever their audience is, as the page advises."""
    (issuer,) = yaml.safe_load(pages.block(PAGE, "complete").text)["callers"]["issuers"]
    assert (issuer["types"], issuer["untyped"]) == (["at+jwt"], False)
    assert issuer["required_scopes"]
