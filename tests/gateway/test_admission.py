"""How many calls of one caller may be in flight."""

from __future__ import annotations

import dataclasses

import pytest

from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS, Limits
from counterseal.errors import BadCall, CallError
from counterseal.gateway.admission import Admission

TWO = dataclasses.replace(LIMITS, calls_per_caller=2)
ALICE = Caller(kind="token", client_id="ide", issuer="https://idp", subject="alice")


def test_so_many_and_not_one_more() -> None:
    admission = Admission(TWO)
    leave = admission.enter(ALICE)
    admission.enter(ALICE)
    with pytest.raises(BadCall) as refused:
        admission.enter(ALICE)
    assert (refused.value.reason.code, refused.value.reason.status) == ("too_many", 429)
    leave()
    admission.enter(ALICE)


def test_one_caller_leaves_room_for_others() -> None:
    admission = Admission(TWO)
    for _ in range(2):
        admission.enter(ALICE)
    admission.enter(dataclasses.replace(ALICE, client_id="other"))
    admission.enter(dataclasses.replace(ALICE, issuer="https://other"))


def test_nothing_is_kept_of_callers_who_left() -> None:
    admission = Admission(TWO)
    for number in range(1000):
        admission.enter(dataclasses.replace(ALICE, client_id=f"c{number}"))()
    assert admission._calls == {}


KIB = 1024
SMALL = dataclasses.replace(LIMITS, bodies_per_caller_bytes=100 * KIB, bodies_per_worker_bytes=150 * KIB)
BOB = dataclasses.replace(ALICE, subject="bob")


def test_h_09_the_bodies_of_one_caller_hold_so_much_and_not_a_byte_more() -> None:
    admission = Admission(SMALL)
    place = admission.enter(ALICE, 50 * KIB)
    other = admission.enter(ALICE, 20 * KIB)
    other.holds(50 * KIB)
    with pytest.raises(BadCall) as refused:
        other.holds(50 * KIB + 1)
    assert (refused.value.reason.code, refused.value.reason.status) == ("too_many", 429)
    with pytest.raises(BadCall):
        admission.enter(ALICE, 17 * KIB)
    admission.enter(BOB, 50 * KIB)
    place()
    admission.enter(ALICE, 50 * KIB)


def test_h_09_nor_do_those_of_all_callers_together() -> None:
    admission = Admission(SMALL)
    admission.enter(ALICE, 100 * KIB)
    leave = admission.enter(BOB, 50 * KIB)
    carol = dataclasses.replace(ALICE, subject="carol")
    with pytest.raises(CallError) as refused:
        admission.enter(carol, 17 * KIB)
    assert (refused.value.reason.code, refused.value.reason.status) == ("overloaded", 503)
    leave()
    admission.enter(carol, 50 * KIB)


def test_small_bodies_are_not_counted() -> None:
    admission = Admission(SMALL)
    for _ in range(100):
        admission.enter(ALICE, 16 * KIB)


def test_nothing_is_kept_of_bodies_whose_calls_ended_or_were_refused() -> None:
    admission = Admission(SMALL)
    for size in (0, 20 * KIB, 100 * KIB):
        place = admission.enter(ALICE, size)
        with pytest.raises(BadCall):
            place.holds(101 * KIB)
        with pytest.raises(BadCall):
            admission.enter(ALICE, 101 * KIB)
        place()
    assert (admission._calls, admission._bytes, admission._held) == ({}, {}, 0)


def test_one_person_of_a_client_does_not_take_the_places_of_another() -> None:
    admission = Admission(Limits(calls_per_caller=1))
    mallory = Caller(kind="token", client_id="ide", issuer="https://idp.example.com", subject="mallory")
    alice = dataclasses.replace(mallory, subject="alice")
    admission.enter(mallory)
    with pytest.raises(BadCall):
        admission.enter(mallory)
    admission.enter(alice)()
