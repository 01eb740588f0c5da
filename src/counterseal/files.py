"""Is a file that holds keys or secrets for its owner alone, and a folder that nobody else may write to? (Y-06)"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def check_private_file(path: Path) -> str | None:
    """None when only our own account can read, change or replace the file; else a sentence that says what is wrong and how
    to mend it.

    It must be a regular file and no symbolic link, belong to the account that runs this, give group and others nothing, and
    lie in a folder where nobody else can put another file in its place.
    """
    try:
        file = path.lstat()
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}). Name a file that is there."
    if stat.S_ISLNK(file.st_mode):
        return f"{path} is a symbolic link. Name the file that it points to."
    if not stat.S_ISREG(file.st_mode):
        return f"{path} is not a regular file. Name one that is."
    if file.st_uid != os.geteuid():
        return f"{path} belongs to another account. Run `chown {os.geteuid()} {path}`, or run this as its owner."
    if file.st_mode & 0o077:
        return f"{path} is open to other accounts (mode {stat.S_IMODE(file.st_mode):04o}). Run `chmod 600 {path}`."
    return check_folder_of(path)


def may(path: Path, mode: int) -> bool:
    """Whether the account that runs this may do that. mode: as for os.access."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def check_folder_of(path: Path) -> str | None:
    """The part of it that holds for a file that is still to be made: nobody else can put another one in its place."""
    folder = path.absolute().parent.stat()
    if folder.st_mode & 0o022 and not folder.st_mode & stat.S_ISVTX:
        return (
            f"the folder {path.parent} can be written by other accounts, who could put another file in place of {path.name}. "
            f"Run `chmod go-w {path.parent}`."
        )
    return None


def check_own_folder(folder: Path) -> str | None:
    """None when nobody but our own account and root can put a file into the folder; else a sentence that says what is wrong and
    how to mend it. One that is not there yet we make ourselves.

    The sticky bit is no help here: it keeps what is there, and lets others add what we would take for ours.
    """
    if not folder.exists():
        return None
    state = folder.stat()
    if state.st_uid not in (os.geteuid(), 0):
        return (
            f"the folder {folder} belongs to another account. Run `chown {os.geteuid()} {folder}`, or name another one."
        )
    if state.st_mode & 0o022:
        return (
            f"the folder {folder} can be written by other accounts, who could put files of theirs there. "
            f"Run `chmod go-w {folder}`, or name a folder of its own."
        )
    return None
