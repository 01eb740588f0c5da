"""The verified call in whose handling a piece of code runs. Every adapter sets it around what it lets through."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from counterseal.verify.verifier import Verified

CURRENT: Final[ContextVar[Verified]] = ContextVar("counterseal.verified")


def current_verified() -> Verified:
    """What was verified of the call that is being handled: for tools, dependencies, and whatever they call.

    Raises LookupError where no adapter let a call through. So a tool that asks for it does not run on a server without one.
    """
    try:
        return CURRENT.get()
    except LookupError:
        raise LookupError("no countersigned call is being handled here: does an adapter guard this server?") from None
