"""How fast this machine signs at all: `cryptography` on bytes, the ceiling for a gateway that signs each call once."""

from __future__ import annotations

import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from bench.machine import pinned

ALGORITHMS = ("ES256", "RS256", "Ed25519")
_SIGNING_INPUT = b"s" * 1000  # about what the header and the claims of a call token come to


def signers() -> dict[str, Callable[[], object]]:
    """A function that signs once, for each algorithm, over a key made here."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    ed_key = ed25519.Ed25519PrivateKey.generate()
    return {
        "ES256": lambda: ec_key.sign(_SIGNING_INPUT, ec.ECDSA(SHA256())),
        "RS256": lambda: rsa_key.sign(_SIGNING_INPUT, padding.PKCS1v15(), SHA256()),
        "Ed25519": lambda: ed_key.sign(_SIGNING_INPUT),
    }


def rate(sign: Callable[[], object], *, seconds: float, core: int) -> float:
    """Signatures in a second of one core, by CPU time: what other programs take does not count. seconds: of CPU."""
    with pinned(core):
        sign()
        count, began = 0, time.process_time()
        while time.process_time() - began < seconds:
            for _ in range(20):
                sign()
            count += 20
        return count / (time.process_time() - began)
