"""Writes `verify-vectors/` anew: python -m tests.verify.write_vectors

The same each time. Only RSASSA-PSS and ML-DSA sign differently whenever they sign, so a token of theirs that says what it said
before is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.process import ROOT
from tests.verify import vector_cases as cases
from tests.verify import vector_forms as forms
from tests.verify.vector_making import Vector

FOLDER: Final = ROOT / "verify-vectors"


def all_vectors() -> Iterator[Vector]:
    yield from cases.accepted()
    yield from forms.about_the_form()
    yield from forms.about_the_key()
    yield from forms.about_the_signature()
    yield from cases.about_claims()
    yield from cases.about_times()
    yield from cases.about_the_call()
    yield from cases.about_state()


def by_file(vectors: Iterable[Vector]) -> dict[str, list[dict[str, Any]]]:
    """One file for what is accepted, and one for each reason."""
    files: dict[str, list[dict[str, Any]]] = {}
    for vector in vectors:
        files.setdefault(f"{vector.reason or 'accept'}.json", []).append(vector.as_json())
    return files


def as_text(vectors: list[dict[str, Any]]) -> str:
    return json.dumps(vectors, indent=1, ensure_ascii=False) + "\n"


def keeping(made: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """With the tokens that are there already, where only the signature differs and is one that differs each time."""
    known = {one["id"]: one for one in json.loads(path.read_text())} if path.exists() else {}
    for one in made:
        before = known.get(one["id"])
        if before is not None and is_random(one) and without_signature(before) == without_signature(one):
            one["token"] = before["token"]
    return made


def is_random(vector: dict[str, Any]) -> bool:
    return any(name in vector["id"] for name in ("ps256", "ps384", "ps512", "pss", "ml-dsa", "another-of-the-key"))


def without_signature(vector: dict[str, Any]) -> dict[str, Any]:
    return {**vector, "token": vector["token"].rpartition(".")[0]}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    files = by_file(all_vectors())
    for name, vectors in files.items():
        path = FOLDER / name
        path.write_text(as_text(keeping(vectors, path)))
    print(f"{sum(map(len, files.values()))} vectors in {len(files)} files")


if __name__ == "__main__":
    main()
