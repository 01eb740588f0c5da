"""Hooks: code of an operator's own beside each call. A gate denies it or replaces its arguments, a claim source adds claims, an
observer looks on.

Owns the three protocols and what they see and give back, the checks of what they give back, the runner with its time limit, and
the hooks that come with Counterseal (`builtin/`, one file each). May import wire, jose, core and errors. Whatever goes wrong in a
gate or a claim source refuses the call; there is no way to let it pass.

A hook runs in the gateway's process and is no more restricted than the gateway itself. What it is handed is a frozen copy without
credentials; that protects from mistakes, not from malice (P-07).
"""

from counterseal.core.frozen import thaw as plain
from counterseal.hooks.offered import Offered
from counterseal.hooks.protocols import (
    Additions,
    ClaimSource,
    Deny,
    Gate,
    Observer,
    Pass,
    Replace,
)
from counterseal.hooks.view import CallerView, CallView, Event, View

__all__ = [
    "Additions",
    "CallView",
    "CallerView",
    "ClaimSource",
    "Deny",
    "Event",
    "Gate",
    "Observer",
    "Offered",
    "Pass",
    "Replace",
    "View",
    "plain",
]
