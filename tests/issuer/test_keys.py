"""Signing keys that the operator brings: every way to bring a good one, and every wrong one refused with its remedy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from counterseal.errors import ConfigError
from counterseal.issuer import keys
from counterseal.jose.jwk import thumbprint
from tests.issuer import pems
from tests.issuer.pems import EC_PARAMETERS, OPENSSH, TRADITIONAL, pem
from tests.support.tokens import needs_ml_dsa, private_key

WHERE = "keys.source: environment variable MCP_JWT_SIGNING_KEY"
KIDS = {name: thumbprint(private_key(name).public_key()) for name in ("RS256", "ES256", "Ed25519")}


def kids(text: str, *wanted: str) -> dict[str, str]:
    """Algorithm and key id of each signer that a text makes. wanted: none for what the keys are for."""
    return {signer.algorithm: signer.kid for signer in keys.from_text(text, WHERE, wanted or None)}


def refused(text: str, *wanted: str) -> str:
    with pytest.raises(ConfigError) as told:
        keys.from_text(text, WHERE, wanted or None)
    (problem,) = told.value.problems
    assert problem.startswith(f"{WHERE}: ")
    body = re.sub(r"-----[A-Z ]+-----|\s", "", text)
    assert not body or body[:16] not in re.sub(r"\s", "", problem), "the text is quoted"
    return problem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "key.pem"
    path.write_text(text)
    path.chmod(mode)
    return path


# ---- as text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
def test_a_pem_text_is_a_key_for_its_usual_algorithm(algorithm: str) -> None:
    assert kids(pem(algorithm)) == {algorithm: KIDS[algorithm]}
    assert kids(pem(algorithm), algorithm) == {algorithm: KIDS[algorithm]}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_the_older_forms_of_a_private_key_are_read_as_well(algorithm: str) -> None:
    assert kids(pem(algorithm, form=TRADITIONAL)) == {algorithm: KIDS[algorithm]}


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text.replace("\n", "\\n"),
        lambda text: text.replace("\n", "\\r\\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f"\n  {text}\n\n",
        lambda text: text.rstrip("\n").replace("\n", "\\n"),
        lambda text: f"# made for the gateway\n{text}# end\n",
    ],
    ids=["literal \\n", "literal \\r\\n", "CRLF", "white space", "no end", "comments"],
)
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
def test_line_breaks_may_be_spelled_as_env_files_spell_them(spell: object, algorithm: str) -> None:
    assert kids(spell(pem(algorithm))) == {algorithm: KIDS[algorithm]}  # type: ignore[operator]


@pytest.mark.parametrize("spell", [lambda text: text, lambda text: text.replace("\n", "\\n")], ids=["PEM", "literal"])
def test_the_parameters_that_openssl_writes_before_an_ec_key_are_no_key(spell: object) -> None:
    text = EC_PARAMETERS + pem("ES256", form=TRADITIONAL)
    assert kids(spell(text)) == {"ES256": KIDS["ES256"]}  # type: ignore[operator]


def test_one_text_may_hold_a_key_for_each_algorithm() -> None:
    text = pem("ES256") + pem("RS256") + pem("Ed25519")
    assert kids(text) == {"ES256": KIDS["ES256"], "RS256": KIDS["RS256"], "Ed25519": KIDS["Ed25519"]}
    assert list(kids(text, "RS256", "Ed25519", "ES256")) == ["RS256", "Ed25519", "ES256"]


def test_an_ed25519_key_signs_under_the_name_that_is_asked_for() -> None:
    assert kids(pem("Ed25519"), "EdDSA") == {"EdDSA": KIDS["Ed25519"]}


def test_a_key_that_no_algorithm_asks_for_is_a_mistake() -> None:
    assert "does not name" in refused(pem("ES256") + pem("RS256"), "ES256")
    assert "does not name" in refused(pem("Ed25519") + pem("RS256"), "Ed25519", "EdDSA")


def test_an_algorithm_without_a_key_is_refused_with_what_there_is() -> None:
    problem = refused(pem("ES256"), "ES256", "RS256")
    assert "no key for RS256" in problem
    assert "for ES256" in problem


def test_two_keys_for_one_algorithm_are_refused() -> None:
    assert "more than one key for ES256" in refused(pem("ES256") + pem("ES256", "other"), "ES256")


@needs_ml_dsa
def test_an_experimental_key_signs_only_where_its_algorithm_is_named() -> None:
    kid = thumbprint(private_key("ML-DSA-44").public_key())
    text = pem("ES256") + pem("ML-DSA-44")
    assert kids(text, "ES256", "ML-DSA-44") == {"ES256": KIDS["ES256"], "ML-DSA-44": kid}
    for unasked in (text, pem("ML-DSA-44") + pem("ES256"), pem("ML-DSA-44")):
        problem = refused(unasked)
        assert "ML-DSA-44, which is experimental" in problem
        assert "name it there behind the others, or use another key" in problem
    assert "does not name" in refused(text, "ES256")
    assert "no key for ML-DSA-44" in refused(pem("ES256"), "ES256", "ML-DSA-44")


@needs_ml_dsa
@pytest.mark.parametrize("spell", [lambda text: text, lambda text: text.replace("\n", "\\n")], ids=["PEM", "literal"])
def test_an_ml_dsa_key_is_read_as_its_seed(spell: object) -> None:
    text = pem("ES256") + pems.ml_dsa_pem(pems.seed_alone(bytes(32)))
    published = "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o"  # RFC 9964 appendix A.1, whose seed is zeros
    assert kids(spell(text), "ES256", "ML-DSA-44")["ML-DSA-44"] == published  # type: ignore[operator]


# ---- the wrong keys ---------------------------------------------------------------------------------------------------

WRONG = {
    "empty": (lambda: "", "not a private key"),
    "white space": (lambda: " \n ", "not a private key"),
    "a word": (lambda: "changeme", "not a private key"),
    "a HMAC secret": (lambda: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "not a private key"),
    "base64 alone": (lambda: "".join(pem("ES256").splitlines()[1:-1]), "not a private key"),
    "cut": (lambda: pem("RS256")[:600], "not a private key"),
    "damaged": (lambda: pem("RS256").replace("A", "B", 40), "not a private key"),
    "one literal break": (lambda: pem("ES256").replace("\n", "\\n", 1), "not a private key"),
    "public": (lambda: pems.public_pem("RS256"), "a public key"),
    "a JWK": (lambda: '{"kty":"RSA"}', "not a private key"),
    "passphrase": (lambda: pem("RS256", passphrase=b"secret"), "passphrase"),
    "passphrase, older form": (lambda: pem("ES256", form=TRADITIONAL, passphrase=b"secret"), "passphrase"),
    "RSA 1024": (lambda: pems.rsa_key(1024), "less than 2048 bits"),
    "RSA 2047": (lambda: pems.rsa_key(2047), "less than 2048 bits"),
    "RSA e=3": (lambda: pems.rsa_key(2048, 3), "exponent"),
    "P-384": (lambda: pems.ec_key(ec.SECP384R1()), "P-256"),
    "P-521": (lambda: pems.ec_key(ec.SECP521R1()), "P-256"),
    "secp256k1": (lambda: pems.ec_key(ec.SECP256K1()), "P-256"),
    "Ed448": (lambda: pems.other_kind("Ed448"), "type"),
    "X25519": (lambda: pems.other_kind("X25519"), "type"),
    "DSA": (lambda: pems.other_kind("DSA"), "type"),
    "ML-DSA-44, seed and key": (lambda: pems.ml_dsa_pem(pems.seed_and_key()), "not its seed alone"),
    "ML-DSA-44, key alone": (lambda: pems.ml_dsa_pem(pems.key_alone()), "not its seed alone"),
    "certificate": (lambda: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "a public key"),
    "parameters alone": (lambda: EC_PARAMETERS, "not a private key"),
}


@pytest.mark.parametrize(("make", "says"), WRONG.values(), ids=WRONG.keys())
def test_y_07_a_wrong_key_is_refused_with_what_to_do_about_it(make: object, says: str) -> None:
    problem = refused(make())  # type: ignore[operator]
    assert says in problem
    assert re.search(r"openssl|; (use|make|remove) |needs P-256", problem), "no remedy"


@pytest.mark.parametrize(("make", "says"), WRONG.values(), ids=WRONG.keys())
def test_y_07_a_wrong_key_beside_a_good_one_is_refused_too(make: object, says: str) -> None:
    wrong = make()  # type: ignore[operator]
    if "-----BEGIN" in wrong and "EC PARAMETERS" not in wrong and "\\n" not in wrong and "-----END" in wrong:
        assert says in refused(pem("Ed25519") + wrong)
    assert kids(pem("Ed25519")) == {"Ed25519": KIDS["Ed25519"]}


@needs_ml_dsa
def test_y_07_an_ml_dsa_key_of_another_size_is_refused() -> None:
    assert "type" in refused(pems.other_kind("ML-DSA-65"))


def test_an_openssh_key_is_no_pem_that_is_read_here() -> None:
    assert "not a private key" in refused(pem("Ed25519", form=OPENSSH))


# ---- as a file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["file://{}", "file:{}", "file://localhost{}"])
def test_a_text_may_name_the_file(folder: Path, form: str) -> None:
    assert kids(form.format(written(folder, pem("ES256")))) == {"ES256": KIDS["ES256"]}


def test_a_path_with_a_space_is_percent_encoded(folder: Path) -> None:
    inside = folder / "my keys"
    inside.mkdir(mode=0o700)
    path = written(inside, pem("ES256"))
    assert kids(path.as_uri()) == {"ES256": KIDS["ES256"]}
    assert "%20" in path.as_uri()


def test_a_file_on_another_host_is_refused(folder: Path) -> None:
    assert "host" in refused(f"file://evil.example{written(folder, pem('ES256'))}")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_y_06_a_key_file_of_its_owner_alone_is_read(folder: Path, mode: int) -> None:
    path = written(folder, pem("ES256"), mode)
    assert [signer.kid for signer in keys.from_file(path, "keys.source", None)] == [KIDS["ES256"]]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_y_06_a_key_file_that_others_could_read_or_change_is_refused(folder: Path, mode: int) -> None:
    path = written(folder, pem("ES256"), mode)
    with pytest.raises(ConfigError, match=f"{mode:04o}.*chmod 600"):
        keys.from_file(path, "keys.source", None)


def test_y_06_a_symbolic_link_is_refused(folder: Path) -> None:
    path = written(folder, pem("ES256"))
    link = folder / "link.pem"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="symbolic link"):
        keys.from_file(link, "keys.source", None)


def test_y_06_a_folder_in_which_others_could_swap_the_file_is_refused(folder: Path) -> None:
    path = written(folder, pem("ES256"))
    folder.chmod(0o770)
    with pytest.raises(ConfigError, match="chmod go-w"):
        keys.from_file(path, "keys.source", None)


def test_y_06_a_file_of_another_account_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(folder, pem("ES256"))
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="another account"):
        keys.from_file(path, "keys.source", None)


@pytest.mark.parametrize("name", ["missing.pem", "."])
def test_what_is_no_file_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read|regular file"):
        keys.from_file(folder / name, "keys.source", None)


def test_what_is_wrong_in_a_file_is_said_with_its_path(folder: Path) -> None:
    path = written(folder, "changeme")
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        keys.from_file(path, "keys.source", None)
