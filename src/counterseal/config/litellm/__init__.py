"""LiteLLM's `config.yaml`, read as one of ours: a pure translation from its document to ours.

Owns what each of LiteLLM's keys means (`whole.py`, `signer.py`, `servers.py`), and how the outcome is kept together
(`writing.py`) and written down for people (`text.py`, which is what `counterseal migrate` prints). May import the strict
reader and the names of the core. Reads no file and no environment: variables are an argument. What it makes goes through the
same schema as every other configuration, so nothing is accepted here that would be refused there.

What LiteLLM lets through unverified is not taken over: where the two differ, the stricter one holds, and a note says so at each
start.
"""

from __future__ import annotations

from counterseal.config.litellm.whole import is_litellm, translate
from counterseal.config.litellm.writing import Note, Translated

__all__ = ["Note", "Translated", "is_litellm", "translate"]
