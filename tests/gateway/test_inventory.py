"""Shapes of the code that keep the promises: there is one place for each dangerous thing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import counterseal

SOURCE = Path(counterseal.__file__).parent
TREES = {str(path.relative_to(SOURCE)): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def callers_of(name: str) -> set[str]:
    """The files in which something of this name is called."""
    return {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and name_of(node.func) == name
    }


def importers_of(name: str) -> set[str]:
    return {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == name
    }


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("Permit", {"gateway/pipeline.py"}),
        ("compact", {"identity/client_auth.py", "issuer/mint.py", "gateway/probe/forge.py"}),
        ("Minted", {"issuer/mint.py"}),
        ("build_claims", {"core/beside.py", "core/claims.py", "gateway/pipeline.py", "gateway/probe/forge.py"}),
        ("with_arguments", {"hooks/runner.py"}),
        ("pass_gates", {"gateway/pipeline.py"}),
        ("Contained", {"gateway/hook_wiring.py"}),
        ("Verified", {"jose/jws.py", "verify/verifier.py"}),
        ("ANONYMOUS", set()),
        ("ServerHttp", {"gateway/wiring.py", "gateway/inspecting.py"}),
        ("StreamableHttp", {"gateway/transports.py"}),
        ("DuplexServer", {"gateway/transports.py"}),
        ("OpenApi", {"gateway/openapi_wiring.py"}),
        ("subprocess_exec", {"servers/process.py"}),
        ("load_pem_private_key", {"issuer/signers/local.py"}),
        ("private_bytes", {"issuer/signers/local.py"}),
    ],
)
def test_y_08_s18_there_is_one_place_for_it(name: str, files: set[str]) -> None:
    """Invariants 1, 3, 6 and S18: what signs, decides or sends."""
    assert callers_of(name) == files


def test_a_caller_is_made_where_a_credential_was_checked_and_nowhere_else() -> None:
    """Invariant 3."""
    made_up_for_a_probe = {"gateway/probe/forge.py"}
    of_a_credential = {"identity/api_key.py", "identity/own_keys.py", "identity/identify.py", "identity/accept.py"}
    whom_litellm_let_in = {"integrations/litellm/callers.py"}  # where its configuration says that its word counts
    the_gateway_itself = {"gateway/inspecting.py"}
    assert callers_of("Caller") == of_a_credential | made_up_for_a_probe | whom_litellm_let_in | the_gateway_itself


def test_a_request_to_a_server_is_made_in_one_place_for_each_transport_from_a_permit() -> None:
    """Invariant 5, S6. The one without is for a command that looks whether a server refuses it, and no part of a gateway."""
    from_a_permit = {"servers/openapi.py", "servers/streamable_http.py", "servers/sse.py"}
    found = {file for file in callers_of("Request") if file.startswith(("servers", "gateway"))}
    assert found == from_a_permit | {"gateway/unsigned.py"}
    assert importers_of("Unsigned") == {"gateway/inspecting.py"}


def test_m_28_a_program_is_started_from_the_configuration_alone() -> None:
    assert callers_of("Program") == {"config/compile.py"}
    assert callers_of("StartProgram") == {"gateway/transports.py"}
    starting = {
        "subprocess_exec",
        "subprocess_shell",
        "create_subprocess_exec",
        "create_subprocess_shell",
        "Popen",
        "system",
    }
    assert {file for name in starting for file in callers_of(name)} == {"servers/process.py"}


def test_a_token_that_nobody_checked_is_only_shown() -> None:
    """Invariant 1."""
    assert importers_of("for_display_only") <= {"cli/token.py", "cli/demo.py"}


def test_time_is_read_in_one_file() -> None:
    reading = {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import) and any(alias.name in ("time", "datetime") for alias in node.names)
    }
    assert {
        file for file in reading if file.split("/")[0] in ("gateway", "identity", "issuer", "servers", "web")
    } == set()


def test_no_error_is_swallowed_without_a_word() -> None:
    """Invariant 4: an `except` for everything that does nothing is how systems fail open."""
    silent = [
        f"{file}:{node.lineno}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or name_of(node.type) in ("Exception", "BaseException"))
        and all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
    ]
    assert silent == []
