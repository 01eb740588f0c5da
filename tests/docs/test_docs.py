"""The pages hold what they say: links lead somewhere, tables are the code's, examples run, commands exist, words are ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, get_args

import pytest
import yaml
from click.testing import CliRunner

from counterseal.cli import cli
from counterseal.config.load import load_text
from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.errors import REASONS
from counterseal.verify.errors import CannotVerify, Code, VerificationError
from tests.docs import commands, pages, write
from tests.docs.pages import PAGES, ROOT, Block

DOCS: Final = ROOT / "docs"
DECISIONS: Final = sorted((DOCS / "decisions").glob("*.md"))

by_page = pytest.mark.parametrize("page", PAGES, ids=pages.name_of)


# ---- links ----------------------------------------------------------------------------------------------------------


@by_page
def test_every_link_leads_to_a_page_and_a_heading_that_are_there(page: Path) -> None:
    for link in pages.links(page):
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), f"{link} leads out of the project"
        assert there.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in pages.anchors(there), f"{link}: {there.name} has no such heading"


@by_page
def test_no_address_is_of_somebody_elses_machine(page: Path) -> None:
    for address in re.findall(r"\bhttps?://([^\s/:'\"`)>,{}\]]+)", page.read_text()):
        assert re.fullmatch(r"127\.0\.0\.1|localhost|HOST|(.+\.)?example\.(com|org)|(.+\.)?internal", address), address


def test_every_page_is_in_the_index_and_in_the_readme() -> None:
    index = {link.partition("#")[0] for link in pages.links(DOCS / "index.md")}
    readme = {link.partition("#")[0] for link in pages.links(ROOT / "README.md")}
    for page in PAGES:
        if page.parent == DOCS and page.name != "index.md":
            assert page.name in index
            assert f"docs/{page.name}" in readme
    assert {f"decisions/{page.name}" for page in DECISIONS} <= index


# ---- tables that are written from the code --------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(write.TABLES))
def test_a_table_that_is_written_from_the_code_is_as_the_code_has_it(name: str) -> None:
    page = (DOCS / name).read_text()
    assert write.between_marks(page) == write.TABLES[name](page), "run: python -m tests.docs.write"


def test_every_limit_is_explained() -> None:
    for limit, _, explanation in pages.rows(write.between_marks((DOCS / "limits.md").read_text())):
        assert explanation.endswith("."), f"{limit} has no explanation"


def test_no_cell_of_the_table_of_reasons_breaks_the_table() -> None:
    for cells in pages.rows(write.errors_table()):
        assert len(cells) == 6, cells


def test_every_code_of_the_verifier_is_in_the_page_with_its_status() -> None:
    section = (DOCS / "errors.md").read_text().partition("## What a server's verifier answers")[2]
    told = {cells[0].strip("`"): cells[1] for cells in pages.rows(section)}
    codes = {code for part in get_args(Code) for code in get_args(part) or (part,)}
    for code in codes:
        error = CannotVerify("") if code == "unavailable" else VerificationError(code, "")
        public = error.public[0] if isinstance(error, VerificationError) else code
        assert f"`{code}`" in section, code
        assert told[public] == f"{error.status} ({error.status}50)", public


@by_page
def test_a_reason_that_is_named_with_a_status_has_that_status(page: Path) -> None:
    for status, code in re.findall(r"\b([45][0-9]{2}) `([a-z]+_[a-z_]+)`", page.read_text()):
        assert code in REASONS, code
        assert REASONS[code].status == int(status), code


# ---- examples -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", pages.all_blocks("python"), ids=str)
def test_every_python_example_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [one for one in pages.all_blocks("python") if one.mark == "run"], ids=str)
def test_every_complete_python_example_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "assert" in block.text
    exec(compile(block.text, str(block), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("block", pages.all_blocks("json"), ids=str)
def test_every_json_example_is_json(block: Block) -> None:
    json.loads(block.text)


CONFIGURATIONS: Final = [one for one in pages.all_blocks("yaml") if not one.mark.startswith("document=")]


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=str)
def test_every_yaml_example_is_a_part_of_a_configuration_that_loads(block: Block, tmp_path: Path) -> None:
    """What an example leaves out is filled in with the least that a configuration needs."""
    example = yaml.safe_load(block.text)
    least = {
        "issuer": "https://gateway.example.com",
        "servers": {name: {"url": f"https://{name}.example.com/mcp"} for name in ("weather", "notes")},
    }
    load_text(yaml.safe_dump({**least, **example}), str(block), tmp_path, with_secrets=False)


def test_the_token_that_is_shown_is_what_the_gateway_makes() -> None:
    shown = json.loads(pages.block("docs/call-token.md", "claims").text)
    made_with = {"user_id": "alice", "team_id": "data", "agent_id": "planner"}
    caller = Caller(kind="api_key", client_id="k3m9x0a7q2fz", subject="alice", fields=made_with)
    call = Call(
        server="weather",
        era=Era.MODERN,
        revision="2026-07-28",
        shape=Shape.REQUEST,
        method="tools/call",
        name="get_forecast",
        arguments={"city": "Oslo", "days": 3},
    )
    sources = ("sub", "preferred_username", "email", "user_id")
    signer = SignerSettings(shown["iss"], shown["aud"], "RS256", 60, sources)
    made = build_claims(caller, call, signer, now=shown["iat"], jti=shown["jti"], txn=shown["txn"])
    assert shown == made
    assert list(shown) == list(made)
    words = (DOCS / "call-token.md").read_text().partition("## Scope")[0]
    explained = {word for cells in pages.rows(words) for word in re.findall(r"`(\w+)`", cells[0])}
    assert explained == {*made, "alg", "typ", "kid"}


# ---- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", list(commands.named()), ids=str)
def test_every_command_that_a_page_names_exists_with_its_options(one: commands.Named) -> None:
    assert commands.problem(one) is None


def test_a_command_or_option_that_there_is_not_would_be_noticed() -> None:
    assert commands.problem(commands.Named("", ("serve", "--workers", "4"), is_example=True)) is None
    assert commands.problem(commands.Named("", ("serve", "--threads", "4"), is_example=True)) is not None
    assert commands.problem(commands.Named("", ("server",), is_example=True)) is not None
    assert commands.problem(commands.Named("", ("audit", "export"), is_example=True)) is not None


def test_every_command_that_a_page_names_has_help_with_an_example() -> None:
    for path in {tuple(_path(one.words)) for one in commands.named()}:
        done = CliRunner().invoke(cli, [*path, "--help"])
        assert done.exit_code == 0, path
        if not commands.is_later(commands.resolve(path)[0]):
            assert "Example" in done.output, path


def _path(words: tuple[str, ...]) -> list[str]:
    rest = commands.resolve(words)[1]
    return list(words[: len(words) - len(rest)])


def test_what_the_page_says_is_not_built_says_so_itself() -> None:
    section = (DOCS / "operating.md").read_text().partition("## What is not built yet")[2]
    cells = dict(pages.rows(section))
    for command in re.findall(r"`counterseal ([^`]+)`", cells["commands"]):
        assert commands.is_later(commands.resolve(tuple(command.split()))[0]), command
        assert CliRunner().invoke(cli, command.split()).exit_code == 2, command


def test_the_makefile_has_every_target_that_a_page_names() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target for page in PAGES for target in re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert {"run", "test"} <= named <= targets


@by_page
def test_every_file_of_the_project_that_a_page_names_is_there(page: Path) -> None:
    own = {block.mark.partition("=")[2] for block in pages.all_blocks("python")}
    for span in pages.spans(page):
        if (
            re.fullmatch(r"(?:[\w-]+/)*[\w-]+\.py|(?:[\w-]+/)+", span)
            and span not in own
            and not span.startswith("audit")
        ):
            assert (ROOT / span).exists() or (ROOT / "src" / "counterseal" / span).exists(), span


# ---- words ----------------------------------------------------------------------------------------------------------


FORBIDDEN: Final = re.compile(
    r"\b(upstreams?|back-?ends?|users?|unbreakable|bullet-?proof|seamless\w*|powerful|blazing\w*|cutting-edge|TODO|FIXME)\b",
    re.IGNORECASE,
)
ALLOWED: Final = re.compile(r"\bend users?\b|\buser name\b|\buser and system time\b", re.IGNORECASE)


@by_page
def test_pages_use_our_words(page: Path) -> None:
    """The glossary names the words that are not used, in its last column."""
    text = pages.prose(page)
    if page.name == "glossary.md":
        text = "\n".join(" ".join(cells[:2]) for cells in pages.rows(text))
    found = FORBIDDEN.search(ALLOWED.sub("", text))
    assert found is None, found[0] if found else ""


def test_the_glossary_explains_each_word_once() -> None:
    words = [cells[0] for cells in pages.rows((DOCS / "glossary.md").read_text())]
    assert len(words) == len(set(words))
    ours = "caller, subject, actor, server, call, call token, channel token, permit, denial, record, key ring"
    assert {f"**{word}**" for word in ours.split(", ")} <= set(words)


@by_page
def test_pages_hold_nothing_of_the_machine_they_were_written_on(page: Path) -> None:
    text = page.read_text()
    assert re.search(r"(?<![\w.])/(work|tmp|root|home|mnt|Users)/", text) is None
    assert re.search(r"pypi|npmjs|files\.pythonhosted|registry\.|\bcurl -[a-zA-Z]*L", text) is None


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


# ---- notes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", DECISIONS, ids=pages.name_of)
def test_a_note_has_its_number_and_says_context_decision_and_consequences(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_notes_have_a_number_each() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert len(set(numbers)) == len(numbers)
