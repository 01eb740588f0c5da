"""References within a document, and out of it."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.wire.openapi.pointer import NotMapped, References, pointer_text

DOCUMENT: dict[str, Any] = {
    "components": {"schemas": {"A": {"type": "string"}, "a/b~c": 1, "a b": 2, "list": [10, 20]}},
    "loop": {"$ref": "#/loop"},
    "first": {"$ref": "#/second"},
    "second": {"$ref": "#/components/schemas/A"},
}
REFERENCES = References(DOCUMENT)


def refused(reference: Any) -> str:
    with pytest.raises(NotMapped) as caught:
        REFERENCES.target(reference, ("here",))
    assert caught.value.at == ("here",)
    return caught.value.what


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("#/components/schemas/A", {"type": "string"}),
        ("#/components/schemas/a~1b~0c", 1),
        ("#/components/schemas/a%20b", 2),
        ("#/components/schemas/list/1", 20),
        ("#", DOCUMENT),
    ],
)
def test_a_reference_leads_to_a_place_of_the_document(reference: str, value: Any) -> None:
    assert REFERENCES.target(reference, ())[0] == value


@pytest.mark.parametrize(
    "reference",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://example.com/a.yaml#/components/schemas/A",
        "//example.com/a.yaml",
        "file:///etc/passwd",
        "./other.yaml",
        "other.yaml#/A",
        "../secret.json",
        "/etc/passwd",
        "",
        " #/components/schemas/A",
    ],
)
def test_k_02_a_reference_that_leads_out_of_the_document_is_refused(reference: str) -> None:
    assert "nothing is fetched" in refused(reference)


@pytest.mark.parametrize(
    "reference", ["#/components/schemas/B", "#/components/schemas/list/2", "#/first/$ref/x", "#/a//"]
)
def test_a_reference_to_nothing_is_refused(reference: str) -> None:
    assert "leads nowhere" in refused(reference)


def test_an_anchor_is_refused() -> None:
    assert "names an anchor" in refused("#A")
    assert "not a text" in refused(5)


def test_references_are_followed_to_the_end_and_not_in_a_circle() -> None:
    assert REFERENCES.followed(DOCUMENT["first"], ("first",)) == ({"type": "string"}, ("components", "schemas", "A"))
    assert REFERENCES.followed(5, ("x",)) == (5, ("x",))
    with pytest.raises(NotMapped, match="in a circle"):
        REFERENCES.followed(DOCUMENT["loop"], ("loop",))


def test_a_pointer_is_shown_as_a_fragment() -> None:
    assert (
        pointer_text(("paths", "/users/{id}", "get", "parameters", 2, "a~b"))
        == "#/paths/~1users~1{id}/get/parameters/2/a~0b"
    )
    assert pointer_text(()) == "#"
