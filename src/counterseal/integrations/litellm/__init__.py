"""A guardrail for LiteLLM's proxy that signs its MCP tool calls with call tokens.

    guardrail: counterseal.integrations.litellm.CountersealGuardrail

LiteLLM is imported when that name is asked for and by `guardrail.py` alone.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "CountersealGuardrail":
        raise AttributeError(name)
    from counterseal.integrations.litellm.guardrail import CountersealGuardrail  # noqa: PLC0415

    return CountersealGuardrail
