"""docs/call-token.md and docs/configuration.md show what the claims of a configuration really become."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from counterseal.config.compile_claims import signer_settings
from counterseal.config.load import load_text
from counterseal.core.caller import Caller
from counterseal.core.claims import build_claims
from counterseal.core.names import RESERVED
from counterseal.core.permit import ClaimsRefused
from counterseal.core.profiles import LITELLM
from counterseal.core.sources import KEY_FIELDS
from counterseal.core.templates import BadTemplate, compile_value
from tests.core.callers import call, key, token
from tests.docs import pages

TOKEN_PAGE: Final = (pages.ROOT / "docs" / "call-token.md").read_text()
CONFIGURATION_PAGE: Final = (pages.ROOT / "docs" / "configuration.md").read_text()
ALICE: Final = key(
    client_id="k3m9x0a7q2fz",
    fields={"user_id": "alice", "team_id": "data", "agent_id": "planner"},
    metadata={"tenant": "acme", "level": "3"},
)


def made(text: str, caller: Caller, **changes: Any) -> dict[str, Any]:
    """The claims by an example that has at least a signer, for its server `weather`."""
    least = {"issuer": "https://gateway.example.com", "servers": {"weather": {"url": "https://weather.internal/mcp"}}}
    text = yaml.safe_dump({**least, **yaml.safe_load(text)})
    configuration = load_text(text, "counterseal.yaml", Path("/nowhere"), with_secrets=False)
    signer = signer_settings(configuration, "weather", algorithm="ES256", pairwise_key=bytes(32))
    return build_claims(caller, call(**{"name": "get_forecast", **changes}), signer, now=1, jti="j", txn="t")


def own(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in RESERVED}


def examples(key: str) -> list[str]:
    """The complete examples of the page that have this key."""
    found = [block.text for block in pages.blocks(pages.ROOT / "docs" / "configuration.md") if block.mark == "complete"]
    return [text for text in found if f"{key}:" in text]


def test_the_claims_that_are_shown_are_those_that_the_signer_makes() -> None:
    example = pages.block("docs/call-token.md", "claims-of-your-own").text
    shown = json.loads(pages.block("docs/call-token.md", "more-claims").text)
    claims = own(made(example, ALICE))
    assert claims == shown
    assert list(claims) == list(shown)


def test_the_example_of_operations_does_what_its_comments_say() -> None:
    (example,) = examples("add_claims")
    assert own(made(example, ALICE)) == {
        "department": "none",
        "tenant": "acme",
        "app": {"level": 3, "areas": [], "caller": "data/weather"},
        "https://example.com/plan": {"name": "free", "trial": True},
    }
    with pytest.raises(ClaimsRefused) as told:
        made(example, key())
    assert told.value.denial.reason == "claim_unavailable"
    bare = key(metadata={"tenant": "acme", "areas": "eu, us", "department": "sales"})
    claims = own(made(example, bare))
    assert (claims["department"], claims["app"]) == (
        "sales",
        {"level": 0, "areas": ["eu", "us"], "caller": "nobody/weather"},
    )


@pytest.mark.parametrize(
    ("held", "good"),
    [
        ({"tenant": "acme", "realm_access": {"roles": ["editor"]}}, True),
        ({"tenant": False, "realm_access": {"roles": "admin"}}, True),
        ({"tenant": "acme", "realm_access": {"roles": ["viewer"]}}, False),
        ({"tenant": "", "realm_access": {"roles": ["editor"]}}, False),
    ],
)
def test_the_example_of_required_claims_asks_for_what_its_comments_say(held: dict[str, Any], good: bool) -> None:
    (example,) = examples("required_claims")
    if good:
        assert own(made(example, token(held))) == held
        return
    with pytest.raises(ClaimsRefused) as told:
        made(example, token(held))
    assert told.value.denial.reason == "required_claim_missing"


def test_the_page_names_every_field_that_a_template_may_ask_for() -> None:
    section = CONFIGURATION_PAGE.partition("#### Claims of your own")[2].partition("#### Required claims")[0]
    sources = CONFIGURATION_PAGE.partition("#### Who the subject is")[2]
    for name in (*KEY_FIELDS, "metadata.NAME"):
        assert f"`{name}`" in sources
    with pytest.raises(BadTemplate) as told:
        compile_value("{caller.unknown}")
    for name in str(told.value).partition("there is ")[2].split("; there is ")[-1].split(", "):
        assert f"`{name}`" in section or name == "key", name
    for kind in ("text", "int", "bool", "list"):
        assert f"`{kind}`" in section


def test_the_page_says_how_a_pairwise_name_is_made() -> None:
    assert "HMAC-SHA-256(key, issuer NUL subject NUL server)" in TOKEN_PAGE
    claims = made("signer: {subject: pairwise}", token())
    digest = hmac.new(bytes(32), b"https://idp\0alice\0weather", hashlib.sha256).digest()
    assert claims["sub"] == "pw:" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_the_table_of_litellms_shape_is_the_profiles() -> None:
    section = TOKEN_PAGE.partition("## LiteLLM's shape")[2].partition("\n## ")[0]
    assert f"`{LITELLM.typ}`" in section
    assert all(f"`{name}`" in section for name in LITELLM.fields)
    assert LITELLM.scope_of("tools/call", "tool") == "mcp:tools/call mcp:tools/tool:call"
    assert re.search(r"`mcp:tools/call mcp:tools/\{tool\}:call`", section)
