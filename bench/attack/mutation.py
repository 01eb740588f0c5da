"""Blind changes of good tokens. What comes out is bad where it is none of the good ones; the run shows no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from bench.attack.forge import Forge, Make
from bench.jose import text

_CHARACTERS: Final = b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/~{}[]:,\\" '

Change = Callable[[Forge, bytes, int, int], bytes]


def _delete(_: Forge, data: bytes, start: int, end: int) -> bytes:
    return data[:start] + data[end:]


def _repeat(_: Forge, data: bytes, start: int, end: int) -> bytes:
    return data[:end] + data[start:]


def _replace(forge: Forge, data: bytes, start: int, end: int) -> bytes:
    return data[:start] + bytes(forge.rng.choices(_CHARACTERS, k=min(end - start, 40))) + data[end:]


def _insert(forge: Forge, data: bytes, start: int, _: int) -> bytes:
    return data[:start] + bytes(forge.rng.choices(_CHARACTERS, k=forge.rng.randint(1, 8))) + data[start:]


def _scatter(forge: Forge, data: bytes, start: int, _: int) -> bytes:
    return data[:start] + forge.rng.randbytes(1) + data[start + 1 :]


def _splice(forge: Forge, data: bytes, start: int, _: int) -> bytes:
    other = forge.rng.choice(forge.pool)
    return data[:start] + other[min(start, len(other)) + forge.rng.randint(-3, 3) :]


def _swap(_: Forge, data: bytes, start: int, end: int) -> bytes:
    return data[end:] + data[start:end] + data[:start]


def _turn(_: Forge, data: bytes, start: int, end: int) -> bytes:
    return data[:start] + data[start:end][::-1] + data[end:]


def _case(_: Forge, data: bytes, start: int, end: int) -> bytes:
    return data[:start] + data[start:end].swapcase() + data[end:]


_CHANGES: Final[tuple[Change, ...]] = (*(_delete, _repeat, _replace, _insert, _scatter, _splice, _swap, _turn, _case),)


def _changed(forge: Forge, data: bytes) -> bytes:
    for _ in range(forge.rng.randint(1, 4)):
        start = forge.rng.randint(0, len(data))
        end = min(len(data), start + forge.rng.choice((1, 1, 2, 4, 16, 64)))
        data = forge.rng.choice(_CHANGES)(forge, data, start, end)
    return data


def mutated(forge: Forge) -> bytes:
    return _changed(forge, forge.rng.choice(forge.pool))


def mutated_and_signed(forge: Forge) -> bytes:
    """Claims or a header that were changed until Python's own reader refuses them, which takes more than JSON is; then signed."""
    held = forge.held()
    parts = [text(held.header()), text(forge.claims())]
    which = forge.rng.randrange(2)
    while True:
        spoiled = _changed(forge, parts[which])
        try:
            json.loads(spoiled.decode())
        except ValueError:
            break
    parts[which] = spoiled
    return forge.token(parts[1], parts[0], held)


FAMILIES: Final[Mapping[str, Make]] = {
    "J-25 blind changes of JSON, then signed": mutated_and_signed,
    "J-26 blind changes of a good token": mutated,
}
