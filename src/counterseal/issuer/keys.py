"""Signing keys that the operator brings: in an environment variable or in a file.

LiteLLM's `MCP_JWT_SIGNING_KEY` works as it is: PEM text, PEM text whose line breaks are the two characters `\\n` (as .env files
and its documentation have them), or `file:///path`. One text may hold several keys, one for each algorithm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from counterseal.errors import ConfigError
from counterseal.files import check_private_file
from counterseal.issuer.signers.local import LocalSigner, algorithms_of, from_pem
from counterseal.jose.algorithms import EXPERIMENTAL
from counterseal.jose.jwk import thumbprint

_BLOCK = re.compile(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)


def from_text(text: str, where: str, wanted: Sequence[str] | None) -> list[LocalSigner]:
    """The signers in a text that an environment variable holds. where: the variable, for messages.

    wanted: the configured `keys.algorithms`, or None where they were not named; then each key signs for its usual one, and a
    key for an experimental one is refused. Raises ConfigError that says how to mend it and never quotes the text.
    """
    text = text.strip()
    if text.startswith("file:"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise ConfigError(f"{where}: a file address with a host; write file:///absolute/path/key.pem")
        return from_file(Path(unquote(parts.path)), where, wanted)
    if "\\n" in text and "\n" not in text:
        text = text.replace("\\r", "").replace("\\n", "\n")
    return _signers(text.encode(), where, wanted)


def from_file(path: Path, where: str, wanted: Sequence[str] | None) -> list[LocalSigner]:
    """The signers in a PEM file that only its owner may read (Y-06)."""
    problem = check_private_file(path)
    if problem is not None:
        raise ConfigError(f"{where}: {problem}")
    try:
        return _signers(path.read_bytes(), f"{where}: {path}", wanted)
    except OSError as error:
        raise ConfigError(f"{where}: {path} cannot be read: {error.strerror}") from None


def _signers(pem: bytes, where: str, wanted: Sequence[str] | None) -> list[LocalSigner]:
    blocks = [block for block in _BLOCK.findall(pem) if not block.startswith(b"-----BEGIN EC PARAMETERS")]
    keys = [from_pem(block, where) for block in blocks or [pem]]
    possible = [algorithms_of(key) for key in keys]
    if wanted is None:
        _refuse_unasked(possible, where)
        return [LocalSigner(key, names[0]) for key, names in zip(keys, possible, strict=True)]
    signers = []
    for algorithm in wanted:
        fitting = [key for key, names in zip(keys, possible, strict=True) if algorithm in names]
        if len(fitting) != 1:
            there = ", ".join(names[0] for names in possible)
            raise ConfigError(
                f"{where}: {'no key' if not fitting else 'more than one key'} for {algorithm} in keys.algorithms; "
                f"the keys there are for {there}: name exactly these, or leave keys.algorithms out"
            )
        signers.append(LocalSigner(fitting[0], algorithm))
    if {signer.kid for signer in signers} < {thumbprint(key.public_key()) for key in keys}:
        raise ConfigError(f"{where}: a key that keys.algorithms does not name; name its algorithm or remove the key")
    return signers


def _refuse_unasked(possible: Sequence[tuple[str, ...]], where: str) -> None:
    """Nothing experimental signs, or is published, because a key for it happens to be there."""
    for names in possible:
        if names[0] in EXPERIMENTAL:
            raise ConfigError(
                f"{where}: a key for {names[0]}, which is experimental and signs only where keys.algorithms names it; "
                "name it there behind the others, or use another key"
            )
