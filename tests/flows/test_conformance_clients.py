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
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support import conformance
from tests.support.conformance import Check, Run

pytestmark = [pytest.mark.party("conformance", "python-client")]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of the suite's. check: the one that says what it is about. needs: the scopes that the gateway asks for. granted: those
    that a token has."""

    name: str
    check: str
    needs: str = ""
    granted: str = ""

    @property
    def command(self) -> list[str]:
        launcher = [sys.executable, "-m", "tests.parties.protected_client"]
        return [*launcher, "--needs", self.needs, "--granted", self.granted]

    def status(self, run: Run) -> str:
        """What its check came to."""
        return run.results[Check(f"auth/{self.name}", self.check, 0)].status


SCOPES: Final = (
    Scenario("scope-from-www-authenticate", "scope-from-www-authenticate", "mcp:basic", "mcp:basic"),
    Scenario("scope-from-scopes-supported", "scope-from-scopes-supported", *["mcp:basic,mcp:read,mcp:write"] * 2),
    Scenario("scope-omitted-when-undefined", "scope-omitted-when-undefined"),
)
ANOTHER_SCOPE: Final = Scenario("scope-from-www-authenticate", "scope-from-www-authenticate", "other", "other")
NEVER_GRANTED: Final = Scenario("scope-retry-limit", "scope-retry-limit", "mcp:admin")
AGENTS: Final = (
    Scenario("client-credentials-basic", "client-credentials-basic-auth"),
    Scenario("client-credentials-jwt", "client-credentials-jwt-verified"),
)
ALL: Final = (*SCOPES, ANOTHER_SCOPE, NEVER_GRANTED, *AGENTS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Scenario, Run]:
    """Every scenario, run once, two at a time."""
    folders = [tmp_path_factory.mktemp(scenario.name) for scenario in ALL]

    def run(scenario: Scenario, folder: Path) -> Run:
        return conformance.run_client(scenario.command, f"auth/{scenario.name}", folder)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(ALL, pool.map(run, ALL, folders), strict=True))


@pytest.mark.parametrize("scenario", SCOPES, ids=lambda one: one.name)
def test_a_client_asks_for_the_scopes_that_the_gateway_names_all_at_once_and_no_others(
    runs: Mapping[Scenario, Run], scenario: Scenario
) -> None:
    run = runs[scenario]
    assert scenario.status(run) == "SUCCESS"
    assert run.passed, run.output


def test_the_verdict_is_about_what_the_gateway_names(runs: Mapping[Scenario, Run]) -> None:
    """The twin: the same scenario, and a gateway that needs another scope."""
    run = runs[ANOTHER_SCOPE]
    assert ANOTHER_SCOPE.status(run) == "WARNING", run.output


def test_a_client_that_never_gets_the_scope_does_not_ask_for_ever(runs: Mapping[Scenario, Run]) -> None:
    run = runs[NEVER_GRANTED]
    assert NEVER_GRANTED.status(run) == "SUCCESS"
    assert run.passed, run.output


@pytest.mark.parametrize("scenario", AGENTS, ids=lambda one: one.name)
def test_an_agent_finds_the_authorization_server_that_its_credentials_are_for(
    runs: Mapping[Scenario, Run], scenario: Scenario
) -> None:
    run = runs[scenario]
    assert scenario.status(run) == "SUCCESS"
    assert run.passed, run.output
