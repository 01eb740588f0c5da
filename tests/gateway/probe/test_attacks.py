"""The table of attacks: what explains what."""

from __future__ import annotations

from counterseal.gateway.probe.attacks import ATTACKS, explained


def test_each_says_what_is_wrong_and_how_to_mend_it() -> None:
    for attack in ATTACKS.values():
        assert attack.sent
        assert attack.cause
        assert attack.fix
        assert attack.servers or attack.gateway
    assert len({attack.sent for attack in ATTACKS.values()}) == len(ATTACKS)


def test_an_attack_is_explained_by_those_before_it_and_by_none_in_a_circle() -> None:
    for attack in ATTACKS.values():
        for id in attack.follows:
            assert attack.id not in ATTACKS[id].follows
            assert id in ATTACKS


def test_what_needs_no_token_needs_no_good_one_either() -> None:
    expired = ATTACKS["expired"]
    assert explained(expired, {"none", "expired"}) == "none"
    assert explained(expired, {"expired", "issuer"}) is None
    assert explained(ATTACKS["none"], {"none", "expired"}) is None
    assert explained(ATTACKS["alg_none"], {"alg_none", "tampered"}) == "tampered"
