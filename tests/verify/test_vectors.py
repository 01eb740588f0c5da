"""The test vectors in `verify-vectors/`: ours passes them all, and the script makes the files that are there."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import Any, get_args

import pytest

from counterseal.verify import CannotVerify, NotVerified, VerificationError, Verifier
from counterseal.verify.errors import Code
from tests.docs import pages
from tests.support.process import ROOT
from tests.support.tokens import FixedClock, needs_ml_dsa
from tests.verify import write_vectors
from tests.verify.vector_keys import ML_DSA

FILES = sorted(write_vectors.FOLDER.glob("*.json"))
VECTORS: list[dict[str, Any]] = [vector for path in FILES for vector in json.loads(path.read_text())]
REASONS = {code for part in get_args(Code) for code in get_args(part) or (part,)}


def outcome(vector: dict[str, Any], driver: str) -> dict[str, str]:
    """What our verifier says, as `expected` has it."""
    which = Verifier(
        issuer=vector["issuer"],
        audience=vector["audience"],
        jwks="http://127.0.0.1:1/nobody-is-here" if vector["jwks"] is None else vector["jwks"],
        clock=FixedClock(vector["now"]),
        **vector.get("options", {}),
    )
    for before in vector.get("after", []):
        present(which, before, driver)
    return present(which, vector, driver)


def present(which: Verifier, presented: dict[str, Any], driver: str) -> dict[str, str]:
    token, call = presented["token"], presented["call"]
    try:
        if driver == "averify":
            asyncio.run(which.averify(token, **call))
        else:
            which.verify(token, **call)
    except VerificationError as error:
        return {"outcome": "refuse", "reason": error.code}
    except CannotVerify as error:
        return {"outcome": "cannot_tell", "reason": error.code}
    return {"outcome": "accept"}


@pytest.mark.parametrize("driver", ["verify", "averify"])
@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(one, id=one["id"], marks=needs_ml_dsa if one["id"].endswith(ML_DSA.lower()) else ())
        for one in VECTORS
    ],
)
def test_ours_passes_every_vector(vector: dict[str, Any], driver: str) -> None:
    assert outcome(vector, driver) == vector["expected"], vector["about"]


def test_there_are_enough_of_them_for_every_reason() -> None:
    reasons = Counter(vector["expected"].get("reason", "accept") for vector in VECTORS)
    assert len(VECTORS) >= 80
    assert set(reasons) == REASONS | {"accept"}
    assert {path.stem for path in FILES} == set(reasons)
    assert len({vector["id"] for vector in VECTORS}) == len(VECTORS)


@needs_ml_dsa
def test_the_script_makes_what_is_there() -> None:
    """To the byte, but for signatures that differ each time."""
    files = write_vectors.by_file(write_vectors.all_vectors())
    assert set(files) == {path.name for path in FILES}
    for path in FILES:
        made = write_vectors.keeping(files[path.name], path)
        assert write_vectors.as_text(made) == path.read_text(), "run: python -m tests.verify.write_vectors"


def test_the_reasons_are_a_closed_list_in_the_page() -> None:
    section = (ROOT / "docs/verifying.md").read_text().partition("## Reasons")[2].partition("\n## ")[0]
    told = {cells[0].strip("`"): int(cells[1]) for cells in pages.rows(section)}
    assert set(told) == REASONS
    for reason, status in told.items():
        error: NotVerified = CannotVerify("") if reason == "unavailable" else VerificationError(reason, "")  # type: ignore[arg-type]
        assert error.status == status, reason


def test_the_readme_tells_every_member_and_how_many_there_are() -> None:
    readme = (write_vectors.FOLDER / "README.md").read_text()
    members = {member for vector in VECTORS for member in vector}
    explained = {cells[0].strip("`") for cells in pages.rows(readme)}
    assert members <= explained
    assert re.search(rf"\b{len(VECTORS)} vectors\b", readme)
