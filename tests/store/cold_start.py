"""One of several processes that start at the same time on the same empty store. A module of its own, so that the processes
load nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from counterseal.store.port import SigningKeyRow
from counterseal.store.sqlite import open_sqlite


def cold_start(path: str, number: int) -> tuple[str, str, bytes, bytes]:
    """The kids and secrets that this process ends with."""
    return asyncio.run(_start(Path(path), number))


async def _start(path: Path, number: int) -> tuple[str, str, bytes, bytes]:
    store = await open_sqlite(path)
    kids = []
    for algorithm in ("ES256", "RS256"):
        made = SigningKeyRow(kid=f"{algorithm} of {number}", algorithm=algorithm, pem=b"", created=1.0)
        kids.append((await store.add_signing_key_if_absent(algorithm, lambda made=made: made)).kid)  # type: ignore[misc]
    await store.bind_issuer("https://gateway.example.com")
    secrets = await store.secret("one"), await store.secret("two")
    await store.close()
    return kids[0], kids[1], *secrets
