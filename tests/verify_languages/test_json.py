"""The readers of JSON in other languages take what ours takes and refuse what ours refuses, in tokens and in arguments.

The texts are those of JSONTestSuite and of RFC 8785's own test data, and some numbers that lie where readers differ.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from counterseal.core import strict_json
from counterseal.core.canonical import NotCanonical, arguments_digest
from tests.support.parties import LANGUAGES, node_command
from tests.support.tokens import vectors
from tests.verify.test_vectors import outcome
from tests.verify.vector_making import FORECAST, Vector, claims, signed, text
from tests.verify_languages.languages import Language, parametrized
from tests.verify_languages.test_vectors import KEYS, outcomes, outcomes_of

LONGEST = 5000
NUMBERS = (
    *(
        "-0",
        "-0.0",
        "0e0",
        "0.1e1",
        "1E2",
        "1e-400",
        "-1E-7",
        "123456789012345678e-2",
        "123e65",
        "1e20",
        "1e21",
        "1e22",
        "1e23",
    ),
    *("9007199254740991", "9007199254740992", "-9007199254740992", "9007199254740993.0", "100000000000000000000"),
    *("18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809"),
    *(
        "1.7976931348623158e308",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
    ),
    *('[1,[2,{"a":9007199254740993}]]', '{"9007199254740993":1}', '"9007199254740993"', '"\\"9007199254740993"'),
    *('"\\\\\\"", "b":9007199254740993', '"a\\\\", "b":9007199254740993', '"\\u2028", "b": "\u2028"'),
)


def texts() -> dict[str, bytes]:
    files = [*vectors("JSONTestSuite").rglob("*.json"), *(vectors("jcs") / "testdata" / "input").glob("*.json")]
    found = {path.name: path.read_bytes() for path in files}
    return {name: text for name, text in found.items() if len(text) <= LONGEST}


@parametrized
def test_a_claim_of_any_text_is_read_or_refused_as_ours_is(language: Language) -> None:
    before = text(claims())[:-1] + b',"more":'
    made = [
        Vector(name, "", signed(before + json_text + b"}", algorithm="Ed25519"), keys=KEYS).as_json()
        for name, json_text in texts().items()
    ]
    ours = {vector["id"]: " ".join(outcome(vector, "verify").values()) for vector in made}
    assert set(ours.values()) == {"accept", "refuse malformed"}
    assert len(ours) > 300
    assert outcomes(language, made) == ours


@parametrized
def test_arguments_of_any_text_have_the_digest_that_they_have_for_us(language: Language) -> None:
    """As text, because what is parsed has lost how it was written."""
    ours: dict[str, str] = {}
    lines = []
    for name, value in {
        **texts(),
        **{f"number-{index}": number.encode() for index, number in enumerate(NUMBERS)},
    }.items():
        arguments = b'{"a":' + value + b"}"
        try:
            read: dict[str, Any] = strict_json.read(arguments, depth=60, members=10_000)
        except (strict_json.NotStrict, strict_json.TooBig):
            continue
        try:
            digest, ours[name] = arguments_digest(read), "accept"
        except NotCanonical:
            rounded = json.loads(arguments, parse_int=float)
            digest, ours[name] = arguments_digest(rounded), "refuse arguments"
        made = signed(claims(details={"arguments_digest": digest}), algorithm="Ed25519")
        vector = Vector(name, "", made, call={**FORECAST, "arguments": "HERE"}, keys=KEYS).as_json()
        lines.append(json.dumps(vector).encode().replace(b'"HERE"', b" ".join(arguments.splitlines())))
    assert len(lines) > 140
    assert outcomes_of(language, b"\n".join(lines) + b"\n") == ours


@pytest.mark.party("server-in-typescript")
def test_the_types_of_the_one_in_typescript_are_right() -> None:
    """Node runs it without looking at them."""
    compiler = LANGUAGES / "typescript" / "node_modules" / "typescript" / "bin" / "tsc"
    command = node_command(compiler, "--project", LANGUAGES / "typescript")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
