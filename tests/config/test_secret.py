"""Secrets and the references to them (C-03)."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import msgspec
import pytest

from counterseal.config.secret import Secret, SecretReference, Unresolved

CANARY = "c4n4ry-5ecret"


def test_a_secret_is_revealed_to_who_asks_and_to_nobody_else() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", f"{secret:>20}", "%s" % secret, repr([secret])]  # noqa: UP031
    assert all("***" in one and CANARY not in one for one in shown)
    assert not hasattr(secret, "__dict__")


def test_c_03_a_secret_is_not_dumped() -> None:
    secret = Secret(CANARY)
    for dump in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError) as caught:
            dump(secret)
        assert CANARY not in str(caught.value)


def test_two_secrets_are_never_equal_so_that_none_can_be_guessed_by_comparing() -> None:
    secret = Secret(CANARY)
    assert secret == secret  # noqa: PLR0124
    assert secret != Secret(CANARY)


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("env:TOKEN", "env", "TOKEN"),
        ("env:_t0", "env", "_t0"),
        ("file:token", "file", "/etc/gateway/token"),
        ("file:../token", "file", "/etc/gateway/../token"),
        ("file:/run/token", "file", "/run/token"),
        ("file:///run/token", "file", "/run/token"),
    ],
)
def test_a_reference_names_a_variable_or_a_file_beside_the_configuration(text: str, kind: str, place: str) -> None:
    reference = SecretReference.parse(text, Path("/etc/gateway"))
    assert reference == SecretReference(kind, place)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        "",
        "env:",
        f"env:{CANARY}",
        f"env:{CANARY} x",
        f"Bearer {CANARY}",
        "file:",
        f"file://{CANARY}",
        f"ENV:{CANARY}",
        "env",
    ],
)
def test_what_is_no_reference_may_be_a_secret_and_is_not_quoted(text: str) -> None:
    with pytest.raises(Unresolved) as caught:
        SecretReference.parse(text, Path("/etc/gateway"))
    assert CANARY not in str(caught.value)
    assert "must" in str(caught.value)


def test_a_variable_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretReference("env", "TOKEN")
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(Unresolved, match="the environment variable TOKEN is not set: set it"):
        reference.resolve()
    monkeypatch.setenv("TOKEN", "")
    with pytest.raises(Unresolved, match="the environment variable TOKEN is empty"):
        reference.resolve()
    monkeypatch.setenv("TOKEN", CANARY)
    assert reference.resolve().reveal() == CANARY


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"s3", "s3"), (b"s3\n", "s3"), (b"s3\r\n", "s3"), (b"s3\n\n", "s3\n"), (b" s3 ", " s3 "), ("ß".encode(), "ß")],
)
def test_a_file_is_read_without_its_last_line_break(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "token").write_bytes(content)
    assert SecretReference("file", str(tmp_path / "token")).resolve().reveal() == value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not there"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff" + CANARY.encode(), "not UTF-8"),
        (b"x" * 65537, "65536"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_the_remedy(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unresolved, match=says) as caught:
        SecretReference("file", str(path)).resolve()
    assert str(path) in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(Unresolved, match="regular file"):
        SecretReference("file", str(tmp_path)).resolve()


def test_the_longest_secret_is_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"x" * 65536)
    assert len(SecretReference("file", str(tmp_path / "token")).resolve().reveal()) == 65536


@pytest.mark.parametrize(
    ("text", "held", "sent"),
    [
        ("env:T", "Bearer x", "Bearer x"),
        ("Bearer env:T", "x", "Bearer x"),
        ("Bearer env:T", "bearer x", "Bearer x"),
        ("token env:T", "x", "token x"),
        ("Basic env:T", "alice:pw", "Basic YWxpY2U6cHc="),
        ("Basic env:T", "Basic alice:pw", "Basic YWxpY2U6cHc="),
        ("Basic env:T", "Basic YWxpY2U6cHc=", "Basic YWxpY2U6cHc="),
        ("Basic env:T", "YWxpY2U6cHc=", "Basic WVd4cFkyVTZjSGM9"),
    ],
)
def test_the_value_of_a_header_may_have_its_scheme_before_the_reference(
    text: str, held: str, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T", held)
    reference = SecretReference.parse_header(text, Path("/"))
    assert reference.resolve().reveal() == sent
    assert "pw" not in repr(reference)


@pytest.mark.parametrize("text", ["Bearer hunter2", "Digest env:T", "bearer env:T", "Bearer  env:T", "Bearer env:"])
def test_what_is_no_scheme_and_reference_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(Unresolved) as told:
        SecretReference.parse_header(text, Path("/"))
    assert "hunter2" not in str(told.value)
