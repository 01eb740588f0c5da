"""Where claims came from, kept as claims are written over and taken away."""

from __future__ import annotations

from counterseal.core.origins import Origin, Origins

ONE, OTHER = Origin("claim", "a"), Origin("template", "{claim.b}", "signer.set_claims.a (c.yaml:3)")


def test_what_is_written_over_takes_what_stood_below_it_along() -> None:
    origins = Origins()
    origins.put(("a", "b"), ONE)
    origins.put(("ab",), ONE)
    origins.put(("a",), OTHER)
    assert origins == {("ab",): ONE, ("a",): OTHER}


def test_what_is_written_into_an_object_has_an_origin_of_its_own() -> None:
    origins = Origins()
    origins.put(("a",), ONE)
    origins.put(("a", "b"), OTHER)
    assert origins == {("a",): ONE, ("a", "b"): OTHER}
    origins.drop(("a", "b"))
    assert origins == {("a",): ONE}
    origins.drop(("a",))
    origins.drop(("x",))
    assert origins == {}
