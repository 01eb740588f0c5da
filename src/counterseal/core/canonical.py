"""The digest that binds a call token to one set of arguments."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785


class NotCanonical(ValueError):
    """The arguments have no canonical form, so two parties could read them differently."""


def arguments_digest(arguments: Mapping[str, Any]) -> str:
    """`sha-256:` and the base64url of the SHA-256 of the JCS form (RFC 8785) of the arguments.

    Absent arguments are `{}`. Raises NotCanonical for integers beyond 2^53 (RFC 8785 section 3.2.2.3, RFC 7493
    section 2.2): readers that hold numbers as doubles would act on another number than the one that was decided on.
    """
    try:
        canonical = rfc8785.dumps(arguments)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise NotCanonical(str(error)) from None
    return "sha-256:" + base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
