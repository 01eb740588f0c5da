"""To be an account that is not root for a moment, in a folder of its own. Where we are none, we stay what we are."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_IS_ROOT: Final = os.geteuid() == 0
_NOBODY: Final = 65534


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """An empty folder of that account."""
    folder = Path(tempfile.mkdtemp())
    if _IS_ROOT:
        os.chown(folder, _NOBODY, -1)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def being_nobody() -> Iterator[None]:
    if _IS_ROOT:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if _IS_ROOT:
            os.seteuid(0)
