"""What a row of an API key knows of itself."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from counterseal.store.port import ApiKeyRow

ROW = ApiKeyRow(id="abcdefghijkl", mac=b"first", subject="alice", metadata={"a": "b"}, created=1.0)
TIMES = st.floats(0, 4e9)


def test_a_key_is_in_force_until_it_expires_or_is_revoked() -> None:
    assert ROW.in_force(1e12)
    expiring = dataclasses.replace(ROW, expires=10.0)
    assert [expiring.in_force(now) for now in (9.999, 10.0, 10.001)] == [True, False, False]
    assert not dataclasses.replace(ROW, revoked=20.0).in_force(1.0)


def test_a_new_secret_changes_nothing_else() -> None:
    rotated = ROW.rotated(b"second", 5.0)
    assert dataclasses.replace(rotated, mac=ROW.mac, previous_mac=None, previous_ends=None) == ROW
    assert (rotated.mac, rotated.previous_mac, rotated.previous_ends) == (b"second", b"first", 5.0)


@given(st.lists(TIMES, min_size=1, max_size=5), st.none() | TIMES)
def test_of_any_number_of_rotations_the_last_two_secrets_are_left(ends: list[float], expires: float | None) -> None:
    row = dataclasses.replace(ROW, expires=expires)
    macs = [row.mac]
    for number, end in enumerate(ends):
        macs.append(b"%d" % number)
        row = row.rotated(macs[-1], end)
    assert [row.previous_mac, row.mac] == macs[-2:]
    assert row.previous_ends == (ends[-1] if expires is None else min(ends[-1], expires))
