"""Other people's test data: the JSON corpus as headers and payloads, and the published JOSE examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.jose import jws, strict
from counterseal.jose.jwk import read_jwks
from counterseal.jose.refusal import TokenRefused
from tests.support.tokens import access_claims, jwks, token, vectors

PARSING = sorted((vectors("JSONTestSuite") / "test_parsing").glob("*.json"))
COOKBOOK = vectors("ietf-jose-cookbook")
KEYS = read_jwks(jwks("ES256"), LIMITS)


def accepts(presented: str) -> bool:
    try:
        unverified = strict.read(presented, LIMITS)
        jws.verify(unverified, KEYS.find(unverified))
    except TokenRefused as refused:
        assert refused.code == "malformed"  # noqa: PT017
        return False
    return True


def is_object(path: Path) -> bool:
    return path.read_bytes().lstrip(b" \t\r\n")[:1] == b"{"


def test_the_corpus_is_complete() -> None:
    assert len(PARSING) == 318


@pytest.mark.parametrize("path", PARSING, ids=lambda path: path.stem)
def test_the_json_corpus_as_payloads(path: Path) -> None:
    """J-25: what must fail fails, and so does what is left to the implementation; of the rest, objects pass."""
    text = path.read_bytes()
    presented = token(text)
    # Two valid texts of the corpus say one member twice, which JSON leaves open and we don't.
    sound = path.name.startswith("y_") and is_object(path) and "duplicated" not in path.name
    assert accepts(presented) == sound
    nested = token(b'{"sub":"alice","act":' + text + b"}")
    if path.name.startswith(("n_", "i_")) and path.name not in HARMLESS:
        assert not accepts(nested)


HARMLESS = frozenset(
    {
        # Numbers that every double reader turns into the same value, and integers that keep every digit.
        "i_number_double_huge_neg_exp.json",
        "i_number_real_underflow.json",
        "i_number_too_big_neg_int.json",
        "i_number_too_big_pos_int.json",
        "i_number_very_big_negative_int.json",
    }
)
"""Texts that are left to the implementation and that we read."""


@pytest.mark.parametrize("path", PARSING, ids=lambda path: path.stem)
def test_the_json_corpus_as_headers(path: Path) -> None:
    """J-25: none of them is a header with an algorithm; inside of one, what is unsound refuses it."""
    text = path.read_bytes()
    assert not accepts(token(access_claims(), header=text))
    wrapped = token(access_claims(), header=b'{"alg":"ES256","kid":"ES256","x":' + text + b"}")
    if path.name.startswith(("n_", "i_")) and path.name not in HARMLESS:
        assert not accepts(wrapped)
    elif path.name.startswith("y_") and "duplicated" not in path.name:
        assert accepts(wrapped)


def public(key: dict[str, Any]) -> dict[str, Any]:
    """The example without its private parts."""
    return {name: value for name, value in key.items() if name not in ("d", "p", "q", "dp", "dq", "qi")}


SIGNED = ["jws/4_1.rsa_v15_signature", "jws/4_2.rsa-pss_signature", "jws/4_3.ecdsa_signature", "curve25519/jws"]


@pytest.mark.parametrize("name", SIGNED)
def test_the_published_signatures_verify(name: str) -> None:
    """RFC 7520 sections 4.1 to 4.3 and RFC 8037 appendix A.4. Their payloads are no claims sets, so the signature alone."""
    example = json.loads((COOKBOOK / f"{name}.json").read_text(encoding="utf-8"))
    (key,) = read_jwks({"keys": [public(example["input"]["key"])]}, LIMITS).keys
    compact = example["output"]["compact"].encode()
    signed, _, signature = compact.rpartition(b".")
    jws.check_signature(example["input"]["alg"], key, signed, signature)
    with pytest.raises(TokenRefused):
        jws.check_signature(example["input"]["alg"], key, signed[:-1] + b"A", signature)
    with pytest.raises(TokenRefused, match=r"not a JSON object|not strict JSON"):
        strict.read(compact, LIMITS)


@pytest.mark.parametrize("path", sorted(COOKBOOK.glob("jwk/*.json")), ids=lambda path: path.stem)
def test_the_published_keys_are_read_or_dropped(path: Path) -> None:
    """RFC 7520 section 3: two public keys; private and symmetric ones never pass."""
    keys = read_jwks({"keys": [json.loads(path.read_text(encoding="utf-8"))]}, LIMITS)
    assert bool(keys.keys) == ("public" in path.stem)


@pytest.mark.parametrize("path", sorted(COOKBOOK.glob("rfc7797/*.json")), ids=lambda path: path.stem)
def test_j_08_unencoded_payloads_are_refused(path: Path) -> None:
    """J-08: RFC 7797 tokens carry `b64` and `crit`."""
    output = json.loads(path.read_text(encoding="utf-8"))["output"]
    for text in (output.get("compact", ""), json.dumps(output)):
        with pytest.raises(TokenRefused):
            strict.read(text, LIMITS)


@pytest.mark.parametrize("name", ["jws/4_4.hmac-sha2_integrity_protection", "jws/4_5.signature_with_detached_content"])
def test_shared_secrets_and_content_apart_are_refused(name: str) -> None:
    """RFC 7520 sections 4.4 and 4.5; J-02."""
    example = json.loads((COOKBOOK / f"{name}.json").read_text(encoding="utf-8"))
    with pytest.raises(TokenRefused):
        strict.read(example["output"]["compact"], LIMITS)


@pytest.mark.parametrize("form", ["json", "json_flat"])
@pytest.mark.parametrize(
    "name", [path.relative_to(COOKBOOK).with_suffix("").as_posix() for path in sorted(COOKBOOK.glob("jws/*.json"))]
)
def test_j_34_the_json_forms_are_refused(name: str, form: str) -> None:
    """J-10, J-34: RFC 7520 sections 4.1 to 4.8, with one signature, several, and content apart."""
    output = json.loads((COOKBOOK / f"{name}.json").read_text(encoding="utf-8"))["output"]
    if form in output:
        with pytest.raises(TokenRefused):
            strict.read(json.dumps(output[form]), LIMITS)
