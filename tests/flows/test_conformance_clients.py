"""The MCP conformance suite's scenarios for clients that need authorization, with the gateway as the protected resource.

The suite starts an authorization server and an MCP server, runs a client, and judges what the client asked the two. Here the
official Python client is run, and starts with the address of a gateway that believes the suite's authorization server. So what
the client asks there comes from the gateway's challenge and metadata, and it is these that the suite judges. How it is done says
`tests/parties/protected_client.py`.

Those that fit are the ones whose verdict comes from the authorization server alone. Those that don't:

* `metadata-*`, `resource-mismatch`, `authorization-server-migration`, `metadata-issuer-mismatch`, `token-endpoint-auth-*`: the
  metadata of the protected resource that they judge, or compare with, is that of the suite's own MCP server.
* `scope-step-up`: needs other scopes for one method than for another. The gateway asks for all at once, whatever is called
  (`test_client_finds_its_idp.py` has its step-up).
* `iss-*`, `offline-access-*`, `basic-cimd`, `pre-registration`, `2025-03-26-*`: about what a client and its authorization server
  do between themselves; the protected resource has no part in it.
* `enterprise-managed-authorization`, `wif-jwt-bearer`, `dpop*`: grants that the suite's own MCP server takes part in.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support import conformance
from tests.support.conformance import Check

pytestmark = [pytest.mark.party("conformance", "python-client")]

CLIENT: Final = [sys.executable, "-m", "tests.parties.protected_client"]


def run(scenario: str, check: str, folder: Path, *, needs: str = "", granted: str = "") -> tuple[conformance.Run, str]:
    """The suite's run, and what one check of it came to."""
    done = conformance.run_client([*CLIENT, "--needs", needs, "--granted", granted], f"auth/{scenario}", folder)
    return done, done.results[Check(f"auth/{scenario}", check, 0)].status


@pytest.mark.parametrize(
    ("scenario", "needs"),
    [
        ("scope-from-www-authenticate", "mcp:basic"),
        ("scope-from-scopes-supported", "mcp:basic,mcp:read,mcp:write"),
        ("scope-omitted-when-undefined", ""),
    ],
)
def test_a_client_asks_for_the_scopes_that_the_gateway_names_all_at_once_and_no_others(
    tmp_path: Path, scenario: str, needs: str
) -> None:
    done, status = run(scenario, scenario, tmp_path, needs=needs, granted=needs)
    assert status == "SUCCESS"
    assert done.passed, done.output


def test_the_verdict_is_about_what_the_gateway_names(tmp_path: Path) -> None:
    """The twin: the same scenario, and a gateway that needs another scope."""
    done, status = run("scope-from-www-authenticate", "scope-from-www-authenticate", tmp_path, needs="o", granted="o")
    assert status == "WARNING", done.output


def test_a_client_that_never_gets_the_scope_does_not_ask_for_ever(tmp_path: Path) -> None:
    done, status = run("scope-retry-limit", "scope-retry-limit", tmp_path, needs="mcp:admin")
    assert status == "SUCCESS"
    assert done.passed, done.output


@pytest.mark.parametrize(
    ("scenario", "check"),
    [
        ("client-credentials-basic", "client-credentials-basic-auth"),
        ("client-credentials-jwt", "client-credentials-jwt-verified"),
    ],
)
def test_an_agent_finds_the_authorization_server_that_its_credentials_are_for(
    tmp_path: Path, scenario: str, check: str
) -> None:
    done, status = run(scenario, check, tmp_path)
    assert status == "SUCCESS"
    assert done.passed, done.output
