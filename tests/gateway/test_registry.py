"""The families, by the names that configurations use."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from counterseal.gateway.registry import HOOKS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "place"), HOOKS.items())
def test_a_row_leads_to_a_class_in_a_file_of_its_own_with_a_docstring_a_test_and_a_section(
    name: str, place: str
) -> None:
    module, _, kind = place.partition(":")
    assert module == f"counterseal.hooks.builtin.{name}"
    found = getattr(importlib.import_module(module), kind)
    assert (importlib.import_module(module).__doc__ or "").startswith(f"`{name}`: ")
    assert found.__doc__
    assert (ROOT / "tests" / "hooks" / "builtin" / f"test_{name}.py").exists()
    assert re.search(rf"^### `{name}`$", (ROOT / "docs" / "hooks.md").read_text(), re.MULTILINE)


def test_every_hook_that_comes_with_the_gateway_has_a_row() -> None:
    files = {path.stem for path in (ROOT / "src" / "counterseal" / "hooks" / "builtin").glob("*.py")}
    assert files - {"__init__"} == set(HOOKS)


def test_p_08_no_hook_is_imported_before_it_is_configured() -> None:
    program = (
        "import sys, counterseal.gateway.wiring, counterseal.web.app, counterseal.cli.check\n"
        "print([name for name in sys.modules if name.startswith(('counterseal.hooks.builtin.', 'jsonschema'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
