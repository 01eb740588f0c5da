"""docs/litellm-guardrail.md: its two files fit together, and the server's verifier fits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from counterseal.config.load import load_text
from counterseal.integrations.litellm import settings
from counterseal.verify import Verifier
from tests.docs import pages

PAGE = pages.ROOT / "docs" / "litellm-guardrail.md"


def block(language: str, mark: str = "") -> str:
    (found,) = (one.text for one in pages.blocks(PAGE) if (one.language, one.mark) == (language, mark))
    return found


def test_the_two_files_fit_together_and_the_server_fits_both(tmp_path: Path) -> None:
    ours = load_text(block("yaml"), "counterseal.yaml", tmp_path, with_secrets=False)
    theirs = yaml.safe_load(block("yaml", "document=litellm"))
    parameters = dict(theirs["guardrails"][0]["litellm_params"])
    assert parameters.pop("guardrail") == "counterseal.integrations.litellm.CountersealGuardrail"
    made = settings.read(
        mode=parameters.pop("mode"), default_on=parameters.pop("default_on"), parameters=parameters, known=()
    )
    settings.check(made, ours)
    assert {name: one["url"] for name, one in theirs["mcp_servers"].items()} == {
        name: one.url for name, one in ours.servers.items()
    }
    names: dict[str, Any] = {}
    exec(compile(block("python", "server"), "server.py", "exec"), names)
    verifier: Verifier = names["verifier"]
    assert (verifier.issuer, verifier.audience) == (ours.issuer, ours.servers["weather"].url)
    assert names["guard"].kwargs["header"] == ours.signer_of("weather").header


def test_the_table_has_every_setting_with_its_default() -> None:
    defaults = {cells[0].strip("`"): cells[2].strip("`") for cells in pages.rows(PAGE.read_text()) if len(cells) == 3}
    told = {name: value for name, value in defaults.items() if name.startswith("counterseal_")}
    assert list(told) == ["counterseal_config", "counterseal_callers", *settings.OURS[2:]]
    made = settings.read(mode="pre_mcp_call", default_on=True, parameters={"counterseal_config": "/c"}, known=())
    values = {
        "counterseal_callers": made.callers,
        "counterseal_servers": dict(made.servers),
        "counterseal_unsigned_servers": sorted(made.unsigned),
        "counterseal_documents": made.documents,
        "counterseal_trust_end_user": made.trust_end_user,
    }
    assert {name: yaml.safe_load(told[name]) for name in values} == values
