"""Whether a file is for its owner alone (Y-06)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from counterseal.files import check_own_folder, check_private_file


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_text("x")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_y_06_a_file_of_ours_that_nobody_else_can_use_is_private(key: Path, mode: int) -> None:
    key.chmod(mode)
    assert check_private_file(key) is None


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666, 0o440])
def test_y_06_a_file_that_others_can_use_is_told_with_the_command_that_mends_it(key: Path, mode: int) -> None:
    key.chmod(mode)
    problem = check_private_file(key)
    assert problem is not None
    assert f"mode {mode:04o}" in problem
    assert f"chmod 600 {key}" in problem


def test_y_06_a_file_of_another_account_is_refused(key: Path) -> None:
    if os.geteuid() == 0:
        os.chown(key, 65534, -1)
        others = key
    else:
        others = Path("/etc/passwd")
    problem = check_private_file(others)
    assert problem is not None
    assert "another account" in problem


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702])
def test_y_06_a_folder_in_which_others_could_exchange_the_file_is_refused_unless_it_is_sticky(
    key: Path, mode: int
) -> None:
    key.parent.chmod(mode)
    problem = check_private_file(key)
    assert problem is not None
    assert f"{key.parent}" in problem
    key.parent.chmod(mode | 0o1000)
    assert check_private_file(key) is None
    key.parent.chmod(0o755)
    assert check_private_file(key) is None


def test_y_06_what_is_no_file_of_its_own_is_refused(key: Path) -> None:
    (key.parent / "link").symlink_to(key)
    os.mkfifo(key.parent / "pipe", 0o600)
    for name, says in (
        ("link", "symbolic link"),
        ("pipe", "regular file"),
        (".", "regular file"),
        ("gone", "cannot be read"),
    ):
        problem = check_private_file(key.parent / name)
        assert problem is not None
        assert says in problem


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o702])
def test_u_03_a_folder_to_which_others_could_add_a_file_is_told_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    tmp_path.chmod(mode)
    problem = check_own_folder(tmp_path)
    assert problem is not None
    assert f"chmod go-w {tmp_path}" in problem
    tmp_path.chmod(mode & 0o755)
    assert check_own_folder(tmp_path) is None
    assert check_own_folder(tmp_path / "to be made") is None


def test_u_03_a_folder_of_another_account_is_refused_unless_that_is_root(tmp_path: Path) -> None:
    assert check_own_folder(Path("/etc")) is None
    folder = tmp_path / "theirs"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 65534, -1)
        problem = check_own_folder(folder)
        assert problem is not None
        assert "another account" in problem
