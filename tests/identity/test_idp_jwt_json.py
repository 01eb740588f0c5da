"""The texts of JSONTestSuite in tokens that are signed properly (J-25): only the strict reader stands before them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.identity.issuers import claims, refusal, who
from tests.support.tokens import encode, sign, vectors

TEXTS = sorted((vectors("JSONTestSuite") / "test_parsing").glob("*.json"))
HEADER = b'{"alg":"ES256","typ":"at+jwt","kid":"ES256"}'
GOOD = json.dumps(claims()).encode()


def signed(header: bytes, payload: bytes) -> str:
    both = f"{encode(header)}.{encode(payload)}"
    return f"{both}.{encode(sign('ES256', both.encode()))}"


async def test_j_25_the_token_that_they_are_put_into_is_good() -> None:
    assert await who(signed(HEADER, GOOD)) is not None


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem[:60])
async def test_j_25_no_text_passes_as_claims_or_header(path: Path) -> None:
    """None of them has an `iss` or an `alg`."""
    text = path.read_bytes()
    await refusal(signed(HEADER, text))
    await refusal(signed(text, GOOD))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem[:60])
async def test_j_25_a_claim_that_is_no_json_spoils_a_good_token_and_one_that_is_does_not(path: Path) -> None:
    """The first letter of a file says whether every reader must take it, may, or must not."""
    text = path.read_bytes()
    claim, header = b'{"x":' + text + b"," + GOOD[1:], b'{"x":' + text + b"," + HEADER[1:]
    deep = text.count(b"[") + text.count(b"{") > 15  # the strict reader's own ceiling
    doubled = "duplicated_key" in path.stem
    if path.stem.startswith("y_") and not deep and not doubled:
        assert await who(signed(HEADER, claim)) is not None
        assert await who(signed(header, GOOD)) is not None
    elif not path.stem.startswith("i_"):
        await refusal(signed(HEADER, claim))
        await refusal(signed(header, GOOD))
