"""Looks for credentials where none may be: in what programs wrote, in records, in answers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping


def found(texts: Mapping[str, bytes], secrets: Iterable[str]) -> list[str]:
    """What leaked and where, one line each, without the secret itself. texts: what is searched, by a name for messages."""
    return [
        f"{kind} of secret {number} is in {name}"
        for number, secret in enumerate(secrets)
        for kind, spelling in _spellings(secret)
        for name, text in texts.items()
        if spelling in text
    ]


def _spellings(secret: str) -> Iterator[tuple[str, bytes]]:
    """The secret, the parts of it that are its own, and what could be made of it."""
    raw = secret.encode()
    yield "the whole", raw
    yield "the base64", base64.b64encode(raw).rstrip(b"=")
    for digest in (hashlib.sha256(raw), hashlib.md5(raw), hashlib.sha1(raw)):
        yield f"the {digest.name}", digest.hexdigest().encode()
        yield f"the {digest.name}", base64.b64encode(digest.digest()).rstrip(b"=")
        yield f"the {digest.name}", base64.urlsafe_b64encode(digest.digest()).rstrip(b"=")
    if secret.count(".") == 2:
        # Not its header, which all tokens of a key share.
        _, payload, signature = raw.split(b".")
        yield "the payload", payload
        yield "the signature", signature
    else:
        yield "the first half", raw[: len(raw) // 2]
        yield "the second half", raw[len(raw) // 2 :]
