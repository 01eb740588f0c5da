"""Files: what is read, and what is told about what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterseal.config.load import load, load_text
from counterseal.errors import ConfigError
from tests.config.writing import accepted, problems

BASE = "issuer: https://gateway.example.com\n"


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.startswith(str(path))
    return problem.removeprefix(str(path))


def test_a_file_is_read_and_its_paths_start_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "etc" / "gateway.yaml"
    path.parent.mkdir()
    path.write_text(BASE)
    assert load(path).store == f"sqlite:{tmp_path}/etc/counterseal.db"
    monkeypatch.chdir(tmp_path)
    assert load("etc/gateway.yaml").store == f"sqlite:{tmp_path}/etc/counterseal.db"


@pytest.mark.parametrize(
    "content", [BASE.encode(), b"\xef\xbb\xbf" + BASE.encode(), BASE.replace("\n", "\r\n").encode()]
)
def test_a_file_from_any_editor_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    assert load(tmp_path / "c.yaml").issuer == "https://gateway.example.com"


def test_a_file_that_is_not_there_is_told_with_how_to_make_one(tmp_path: Path) -> None:
    problem = refused(tmp_path / "counterseal.yaml")
    assert "there is no such file" in problem
    assert "docs/configuration.md begins with an example that works" in problem


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_in_another_encoding_is_told_at_the_place_where_it_stops_being_utf8(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(BASE.encode() + "# ü".encode() + "ß\n".encode(encoding))
    assert refused(path) == ":2:4: YAML: is not UTF-8: save the file as UTF-8"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(BASE.encode() + b"#" * (1024 * 1024 - len(BASE)))
    load(path)
    path.write_bytes(BASE.encode() + b"#" * (1024 * 1024 - len(BASE) + 1))
    assert "1048576 bytes" in refused(path)


def test_problems_are_those_of_the_yaml_and_of_the_keys_together_without_telling_one_twice() -> None:
    text = "issuer: yes\nlisten: &l {port: x}\nstor: x\nservers:\n  w: {url: http://w, url: ftp://w}\n  no: {url: http://w}\n"
    assert [problem.split(": ")[:2] for problem in problems(text)] == [
        ["1:9", "issuer"],
        ["2:9", "listen"],
        ["3:1", "stor"],
        ["5:22", "servers.w.url"],
        ["6:3", "servers.no"],
    ]


@pytest.mark.parametrize("text", ["", "a: b: c", "a:\n\t- b", "- a"])
def test_what_is_no_configuration_at_all_is_one_problem(text: str) -> None:
    assert len(problems(text)) == 1


def test_a_litellm_file_is_told_apart_and_read_as_one() -> None:
    """tests/config/litellm has what it comes to."""
    configuration = accepted("mcp_servers:\n  github: {url: https://x.example.com/mcp}\n")
    assert configuration.signer_of("github").profile == "litellm"
    assert configuration.source_of("servers.github.url") == "counterseal.yaml:2"


def test_a_key_of_litellm_in_a_file_of_our_own_is_an_unknown_key() -> None:
    (problem,) = problems(BASE + "mcp_servers: {}\n")
    assert problem == "2:1: mcp_servers: is an unknown key; did you mean `servers`?"
    accepted(BASE + "servers: {}\n")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("listen: [1]", "must be a mapping and is a list: write `key: value` lines below it"),
        ("listen: null", "must be a mapping and is empty: write `key: value` lines below it"),
        ("servers: text", "must be a mapping and is a text: write `key: value` lines below it"),
        ("policy: {}", "must be a list and is a mapping: write `[one, two]`, or one a line after `-`"),
        ("policy:", "must be a list and is empty: write `[one, two]`, or one a line after `-`"),
        ("store: 5", "must be a text and is a number: put it in quotes"),
        ("store: true", "must be a text and is true or false: put it in quotes"),
        ("store: [x]", "must be a text and is a list: write one, or leave the key out"),
        ("store:", "must be a text and is empty: write one, or leave the key out"),
    ],
)
def test_c_01_a_wrong_type_is_told_with_what_it_is_and_what_to_write(text: str, what: str) -> None:
    (problem,) = problems(f"{BASE}{text}\n")
    assert problem.partition(": ")[2].partition(": ")[2] == what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("listen: {port: '80'}", "must be a whole number and is a text: write digits alone, without quotes"),
        ("listen: {port: abc}", "must be a whole number and is a text: write digits alone, without quotes"),
        ("listen: {port: }", "must be a whole number and is empty: write digits alone, without quotes"),
        ("listen: {host: [a]}", "must be a text and is a list: write one, or leave the key out"),
        ("listen: {host: }", "must be a text and is empty: write one, or leave the key out"),
        ("listen: {port: 80.5}", "must be a whole number and is a number: write digits alone, without quotes"),
        ("listen: {port: true}", "must be a whole number and is true or false: write digits alone, without quotes"),
        ("callers: {anonymous: 'true'}", "must be true or false and is a text: write true or false without quotes"),
        ("callers: {anonymous: 1}", "must be true or false and is a number: write true or false without quotes"),
        ("audit: {fsync: always}", "must be one of 'none' or 'group'"),
    ],
)
def test_c_01_nothing_is_converted(text: str, what: str) -> None:
    (problem,) = problems(f"{BASE}{text}\n")
    assert problem.endswith(f": {what}")


def test_unknown_keys_are_told_with_the_keys_of_their_own_place() -> None:
    """Also below a server whose name is that of a key."""
    text = BASE + "servers:\n  url: {url: http://a, descripton: x}\n  signer: {url: http://b, signer: {lifetime: 5}}\n"
    first, second = problems(text)
    assert first.endswith("servers.url.descripton: is an unknown key; did you mean `description`?")
    assert (
        "servers.signer.signer.lifetime: is an unknown key; there is mode, algorithm, audience, ttl_seconds" in second
    )


def test_secrets_are_looked_for_only_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GONE", raising=False)
    text = BASE + "keys: {source: env:GONE}\nservers: {w: {url: http://w, headers: {X-Key: env:GONE}}}\n"
    assert len(problems(text)) == 2
    configuration = load_text(text, "counterseal.yaml", Path("/nowhere"), with_secrets=False)
    assert configuration.keys.source == "env:GONE"


def test_the_configuration_knows_where_each_of_its_keys_stands() -> None:
    text = BASE + "policy:\n  - permit: {}\n  - deny:\n      tools: [x, y]\n"
    configuration = load_text(text, "etc/counterseal.yaml", Path("/nowhere"))
    assert configuration.source_of("policy[1]") == "counterseal.yaml:4"
    assert configuration.source_of("policy[1].deny.tools[1]") == "counterseal.yaml:5"
    assert configuration.source_of("signer.ttl_seconds") == "counterseal.yaml"
    assert configuration.place_of("policy[1].deny.tools[1]") == "etc/counterseal.yaml:5:18"
    assert configuration.place_of("signer.ttl_seconds") == "etc/counterseal.yaml"
