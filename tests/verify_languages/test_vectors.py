"""The verifiers in other languages give every test vector the outcome that it has to have, and the reason too."""

from __future__ import annotations

import json
import random
import struct
import subprocess
from collections.abc import Iterable
from typing import Any, Final

from tests.verify import vector_keys as keys
from tests.verify.test_vectors import VECTORS
from tests.verify.vector_making import FORECAST, Vector, claims, jwks, signed
from tests.verify_languages.languages import Language, parametrized

KEYS: Final = jwks(keys.public("Ed25519"))


def outcomes(language: Language, vectors: Iterable[dict[str, Any]]) -> dict[str, str]:
    """id -> what the verifier says, as `outcome reason`."""
    return outcomes_of(language, "".join(json.dumps(vector) + "\n" for vector in vectors).encode())


def outcomes_of(language: Language, lines: bytes) -> dict[str, str]:
    """The same for vectors as JSON, one a line."""
    done = subprocess.run(language.command("vectors"), input=lines, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())  # type: ignore[misc]


def expected(vector: dict[str, Any], language: Language) -> str:
    told = vector["expected"]
    if vector["id"].removeprefix("accept-") in {name.lower() for name in language.without}:
        return "refuse algorithm"
    return f"refuse {told['reason']}" if told["outcome"] == "refuse" else str(told["outcome"])


@parametrized
def test_it_passes_every_vector(language: Language) -> None:
    told = outcomes(language, VECTORS)
    assert len(told) == len(VECTORS)
    wrong = {
        vector["id"]: (told[vector["id"]], vector["about"])
        for vector in VECTORS
        if told[vector["id"]] != expected(vector, language)
    }
    assert wrong == {}


@parametrized
def test_the_clock_is_that_of_the_vector(language: Language) -> None:
    """The same token a minute and a half later is over, so the agreement above is none by accident."""
    (good,) = (vector for vector in VECTORS if vector["id"] == "accept-es256")
    told = outcomes(language, [good, {**good, "id": "later", "now": good["now"] + 90}])
    assert told == {"accept-es256": "accept", "later": "refuse expired"}


@parametrized
def test_it_writes_any_arguments_as_we_do(language: Language) -> None:
    """RFC 8785 over 1,000 arguments that chance made, numbers of every size among them; and the same with one of them changed."""
    chance = random.Random(8785)
    good, bad = [], []
    for number in range(1000):
        arguments = {_text(chance): _value(chance, 4) for _ in range(chance.randrange(1, 6))}
        call = {**FORECAST, "arguments": arguments}
        made = signed(claims(call, jti=f"j{number}"), algorithm="Ed25519")
        good.append(Vector(f"good-{number}", "", made, call=call, keys=KEYS).as_json())
        other = {**call, "arguments": {**arguments, "one more": number}}
        bad.append(Vector(f"bad-{number}", "", made, call=other, keys=KEYS).as_json())
    told = outcomes(language, good + bad)
    assert {vector["id"]: vector["call"] for vector in good if told[vector["id"]] != "accept"} == {}
    assert {told[vector["id"]] for vector in bad} == {"refuse arguments"}


def _value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(9 if depth else 6)
    if kind == 0:
        return _double(chance)
    if kind == 1:
        return chance.randrange(1 - 2**53, 2**53)
    if kind == 2:
        return round(chance.uniform(-1000, 1000), chance.randrange(4))
    if kind == 3:
        return chance.choice([True, False, None, 0, -0.0, 1.0, 1e20, 1e21, 1e-6, 1e-7])
    if kind in (4, 5):
        return _text(chance)
    if kind in (6, 7):
        return {_text(chance): _value(chance, depth - 1) for _ in range(chance.randrange(4))}
    return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]


def _double(chance: random.Random) -> float:
    """Any bits that are a number."""
    while True:
        (value,) = struct.unpack("<d", chance.randbytes(8))
        if abs(value) < float("inf"):
            return float(value)


def _text(chance: random.Random) -> str:
    ranges = ((0, 0x80), (0x20, 0x7F), (0x80, 0x800), (0xE000, 0x10000), (0x10000, 0x110000))
    return "".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(chance.randrange(5)))
