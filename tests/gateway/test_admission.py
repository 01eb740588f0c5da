"""How many calls of one caller may be in flight."""

from __future__ import annotations

import dataclasses

import pytest

from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS, Limits
from counterseal.errors import BadCall
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


def test_one_person_of_a_client_does_not_take_the_places_of_another() -> None:
    admission = Admission(Limits(calls_per_caller=1))
    mallory = Caller(kind="token", client_id="ide", issuer="https://idp.example.com", subject="mallory")
    alice = dataclasses.replace(mallory, subject="alice")
    admission.enter(mallory)
    with pytest.raises(BadCall):
        admission.enter(mallory)
    admission.enter(alice)()
