"""`servers:`: which keys a transport has, and whether a program is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from counterseal.config.compile import program, warnings
from counterseal.config.compile_claims import signer_settings
from counterseal.config.load import load_text
from counterseal.config.schema import Configuration
from counterseal.config.secret import Unresolved
from counterseal.core.claims import SignerSettings
from counterseal.errors import ConfigError
from tests.config.writing import accepted, at, config, load, problems, refused, write

SH = ["sh", "-c", "cat"]


def files(**keys: Any) -> dict[str, Any]:
    return {"servers": {"files": {"transport": "stdio", "command": SH, **keys}}}


def started(configuration: Configuration, **inherited: str) -> Any:
    return program(configuration, "files", inherited)


def test_a_stdio_server_needs_a_command_and_no_address() -> None:
    configuration = load(**files())
    assert configuration.servers["files"].url is None
    written, problem = refused(servers={"files": {"transport": "stdio"}})
    assert problem.startswith(at(written, "servers", "files") + "servers.files.command: is missing: add it")


@pytest.mark.parametrize("transport", ["streamable_http", "sse", "openapi"])
def test_any_other_server_needs_an_address_and_no_command(transport: str) -> None:
    server = {"transport": transport, **({"spec": "w.yaml"} if transport == "openapi" else {})}
    load(servers={"w": {**server, "url": "http://w"}})
    _, problem = refused(servers={"w": server})
    assert "servers.w.url: is missing: add it, for example `url: http" in problem
    _, problem = refused(servers={"w": {**server, "url": "http://w", "command": SH}})
    assert f"servers.w.command: is a key of `stdio` servers, and this one is `{transport}`" in problem


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("env", {"A": "b"}),
        ("cwd", "/"),
        ("isolation", "caller"),
        ("max_processes", 3),
        ("idle_timeout", "1m"),
        ("send_token", True),
    ],
)
def test_a_key_of_another_transport_is_an_error_and_not_without_effect(key: str, value: Any) -> None:
    load(**files(isolation="caller", **({} if key == "isolation" else {key: value})))
    _, problem = refused(servers={"w": {"url": "http://w", key: value}})
    assert f"servers.w.{key}: is a key of `stdio` servers" in problem


@pytest.mark.parametrize(("key", "value"), [("spec", "w.yaml"), ("openapi", {}), ("openapi", {"tags": ["a"]})])
@pytest.mark.parametrize("transport", ["streamable_http", "sse", "stdio"])
def test_a_document_is_for_openapi_servers(transport: str, key: str, value: Any) -> None:
    load(servers={"w": {"transport": "openapi", "url": "http://w", "spec": "w.yaml", key: value}})
    server = {"command": SH} if transport == "stdio" else {"url": "http://w"}
    load(servers={"w": {"transport": transport, **server}})
    _, problem = refused(servers={"w": {"transport": transport, **server, key: value}})
    assert f"servers.w.{key}: is a key of `openapi` servers, and this one is `{transport}`" in problem


@pytest.mark.parametrize(("key", "value"), [("url", "http://w"), ("headers", {"X-Key": "env:PATH"})])
def test_a_stdio_server_has_no_address_and_no_headers(key: str, value: Any) -> None:
    _, problem = refused(**files(**{key: value}))
    assert f"servers.files.{key}: is a key of `streamable_http` servers, and this one is `stdio`" in problem


@pytest.mark.parametrize(("key", "value"), [("max_processes", 3), ("idle_timeout", "1m")])
def test_limits_of_processes_are_for_isolated_callers(key: str, value: Any) -> None:
    load(**files(isolation="caller", **{key: value}))
    _, problem = refused(**files(**{key: value}))
    assert f"servers.files.{key}: is for `isolation: caller`" in problem


@pytest.mark.parametrize(
    ("key", "value"), [("max_processes", 0), ("max_processes", -1), ("max_processes", 1025), ("idle_timeout", 0)]
)
def test_a_number_of_processes_that_serves_nobody_or_has_no_end_is_refused(key: str, value: Any) -> None:
    _, problem = refused(**files(isolation="caller", **{key: value}))
    assert f"servers.files.{key}: must be " in problem


# ---- the program ----------------------------------------------------------------------------------------------------


def test_a_program_is_found_on_the_path_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "tool"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    configuration = load(**files(command=["tool", "--flag", ""]))
    assert configuration.servers["files"].command == (str(own), "--flag", "")
    assert started(configuration).command == (str(own), "--flag", "")


def test_a_program_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    plain.chmod(0o644)
    for command, says in (
        (["no-such-program"], "is not on the PATH of the gateway: install it, or write its path"),
        (["./nowhere"], "a path at which there is no file"),
        ([str(tmp_path)], "a path at which there is no file"),
        ([str(plain)], "may not execute: `chmod +x` it, or name its interpreter"),
        ([""], "write the program first"),
        ([" sh"], "write the program first"),
        (["sh", "a\0b"], "NUL"),
        ([], "is an empty list"),
    ):
        found = problems(write(config(**files(command=command))).text, tmp_path)
        assert says in found[0], command
        assert len(found) == 1


def test_a_path_is_relative_to_the_file(tmp_path: Path) -> None:
    own = tmp_path / "bin" / "tool"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    configuration = accepted(write(config(**files(command=["bin/tool"], cwd="bin"))).text, tmp_path)
    assert started(configuration).command == (str(own),)
    assert started(configuration).folder == own.parent
    assert started(accepted(write(config(**files())).text, tmp_path)).folder == tmp_path
    (problem,) = problems(write(config(**files(cwd="nowhere"))).text, tmp_path)
    assert "servers.files.cwd: is no folder: make it, or name another" in problem


# ---- the environment ------------------------------------------------------------------------------------------------


def test_m_28_a_program_inherits_where_it_is_and_nothing_that_could_be_a_secret() -> None:
    own = {"PATH": "/bin", "HOME": "/h", "LANG": "C", "LC_ALL": "C", "TMPDIR": "/t", "TZ": "UTC"}
    more = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "LD_PRELOAD": "x",
        "PYTHONPATH": "x",
        "HTTPS_PROXY": "x",
        "SSH_AUTH_SOCK": "x",
    }
    assert started(load(**files()), **own, **more).environment == own


def test_c_03_a_variable_is_a_text_or_a_secret_and_a_secret_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "c4n4ry-env")
    (tmp_path / "token").write_text("c4n4ry-file\n")
    env = {"LEVEL": "debug", "KEY": "env:TOKEN", "OTHER": "file:token", "PATH": "/own"}
    configuration = accepted(write(config(**files(env=env))).text, tmp_path)
    made = started(configuration, PATH="/bin")
    assert made.environment == {"LEVEL": "debug", "KEY": "c4n4ry-env", "OTHER": "c4n4ry-file", "PATH": "/own"}
    assert made.secrets == {"c4n4ry-env", "c4n4ry-file"}
    assert "c4n4ry" not in repr(configuration) + repr(made)
    monkeypatch.delenv("TOKEN")
    with pytest.raises(Unresolved):
        started(configuration)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("A-B", "x", "is no name of an environment variable"),
        ("1A", "x", "is no name of an environment variable"),
        ("", "x", "is no name of an environment variable"),
        ("A", "env:NO_SUCH_VARIABLE", "is not set"),
        ("A", "file:/nowhere/at/all", "is not there"),
        ("A", "a\0", "NUL"),
        ("A", 7, "must be a text, or a reference"),
    ],
)
def test_a_variable_that_cannot_be_is_refused(name: str, value: Any, says: str) -> None:
    _, problem = refused(**files(env={name: value}))
    assert says in problem


# ---- what follows from it -------------------------------------------------------------------------------------------


def test_a_server_without_an_address_has_a_name_as_its_audience() -> None:
    configuration = load(servers={"files": {"transport": "stdio", "command": SH}, "w": {"url": "http://w/sse"}})
    assert settings(configuration, "files").audience == "urn:counterseal:server:files"
    assert settings(configuration, "w").audience == "http://w/sse"
    own = load(**files(signer={"audience": "https://files"}))
    assert settings(own, "files").audience == "https://files"
    with pytest.raises(ConfigError, match="same audience"):
        load(
            servers={
                "files": {"transport": "stdio", "command": SH},
                "other": {"url": "http://o", "signer": {"audience": "urn:counterseal:server:files"}},
            }
        )


def test_s6_a_server_that_gets_no_token_is_warned_about() -> None:
    told = [one for one in warnings(load(**files()), {}) if "servers.files" in one]
    assert len(told) == 1
    assert "gets no call token, so it cannot tell who calls" in told[0]
    assert not [one for one in warnings(load(**files(send_token=True)), {}) if "servers.files" in one]


def test_sessions_that_live_in_one_worker_are_known() -> None:
    servers = {
        "web": {"url": "http://w"},
        "api": {"transport": "openapi", "url": "http://a", "spec": "a.yaml"},
        "sse": {"transport": "sse", "url": "http://s"},
        "shared": {"transport": "stdio", "command": SH},
        "own": {"transport": "stdio", "command": SH, "isolation": "caller"},
    }
    assert [name for name, server in load(servers=servers).servers.items() if server.in_one_worker] == ["sse", "own"]


def settings(configuration: Configuration, server: str) -> SignerSettings:
    return signer_settings(configuration, server, algorithm="ES256", pairwise_key=bytes(32))


@pytest.mark.parametrize(
    ("key", "value"), [("channel_token_audience", "x"), ("txn_token", {"audience": "corp"}), ("debug_header", True)]
)
def test_what_goes_beside_the_call_token_cannot_reach_a_program(key: str, value: Any) -> None:
    _, problem = refused(**files(signer={key: value}))
    assert f"servers.files.signer.{key}: travels in a header, and a program over stdio has none" in problem
    inherited = load(signer={key: value}, **files())
    assert any(f"signer.{key} does not reach servers.files" in line for line in warnings(inherited, {}))


def test_an_address_that_is_a_secret_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADDRESS", "https://weather.internal/sk-1234/mcp")
    server = load(servers={"w": {"url": "env:ADDRESS"}}).servers["w"]
    assert server.url == "https://weather.internal/sk-1234/mcp"
    assert server.place == "env:ADDRESS"
    assert server.audience("w") == "urn:counterseal:server:w"
    plain = load(servers={"w": {"url": "https://weather.internal/mcp"}}).servers["w"]
    assert plain.audience("w") == "https://weather.internal/mcp"
    monkeypatch.setenv("ADDRESS", "weather")
    written, problem = refused(servers={"w": {"url": "env:ADDRESS"}})
    assert problem == at(written, "servers", "w", "url") + (
        "servers.w.url: must be an absolute address, https://HOST/PATH"
    )
    monkeypatch.delenv("ADDRESS")
    written, problem = refused(servers={"w": {"url": "env:ADDRESS"}})
    assert "the environment variable ADDRESS is not set" in problem
    text = write(config(servers={"w": {"url": "env:ADDRESS"}, "v": {"url": "env:OTHER"}})).text
    assert load_text(text, "c.yaml", Path("/"), with_secrets=False).servers["w"].place == "env:ADDRESS"


@pytest.mark.parametrize("signer", [{}, {"profile": "litellm"}])
def test_servers_share_an_audience_only_where_litellms_profile_and_the_audience_are_written(
    signer: dict[str, Any],
) -> None:
    """A token for one of them works at the other, so it has to be meant."""
    two = {"a": {"url": "https://x.internal"}, "b": {"url": "https://x.internal"}}
    _, problem = refused(servers=two, signer=signer)
    assert "has the same audience as `a`" in problem
    both = {"audience": "mcp", "profile": "litellm"}
    shared = load(servers=two, signer=both)
    assert any("servers a, b have one audience, `mcp`" in line for line in warnings(shared, {}))
    _, problem = refused(servers={**two, "b": {**two["b"], "signer": {"profile": None}}}, signer=both)
    assert "has the same audience as `a`" in problem
