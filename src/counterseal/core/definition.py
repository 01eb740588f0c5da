"""The digest by which the definition of a tool is known again.

It is over the whole definition: name, title, description, schemas, annotations, and members that nobody knows yet, because a
model reads all of them.
"""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from counterseal.core import strict_json
from counterseal.core.canonical import NotCanonical, digest_of, jcs
from counterseal.core.limits import Limits


def read_definition(text: bytes, limits: Limits) -> dict[str, Any]:
    """A definition from its JSON text. Raises NotCanonical for a text that two readers could read differently."""
    try:
        value = strict_json.read(text, depth=limits.json_depth, members=limits.json_members)
    except (strict_json.NotStrict, strict_json.TooBig) as error:
        raise NotCanonical(str(error)) from None
    if not isinstance(value, dict):
        raise NotCanonical("not an object")
    return value


def definition_digest(definition: dict[str, Any]) -> str:
    """`sha-256:` and the base64url of the SHA-256 of the JCS form (RFC 8785) of a definition that was read strictly.

    Schemas of other people hold the bounds of 64 bit integers, which have no JCS form: with one of them the text is that of
    Python's JSON, members sorted, every digit kept. Raises NotCanonical where there is no text either way.
    """
    try:
        canonical = jcs(definition)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        try:
            canonical = json.dumps(definition, sort_keys=True, separators=(",", ":")).encode()
        except (ValueError, RecursionError) as error:
            raise NotCanonical(str(error)) from None
    except RecursionError as error:
        raise NotCanonical(str(error)) from None
    return digest_of(canonical)


def shown(definition: dict[str, Any]) -> str:
    """A definition for people to read and compare: JSON on many lines, members in the order of their names. What cannot be seen,
    as tag characters, joiners and marks that turn text round, is escaped, so that it is seen."""
    return visible(json.dumps(definition, indent=2, sort_keys=True, ensure_ascii=False))


def visible(text: str) -> str:
    """The same JSON text with every character that cannot be seen as an escape. Line ends and spaces outside strings stay."""
    if text.isascii():
        # JSON leaves DEL alone.
        return text.replace("\x7f", "\\u007f")
    return "".join(one if one.isprintable() or one == "\n" else _escape(one) for one in text)


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1].replace("\x7f", "\\u007f")
