"""`servers.<name>.spec` and `servers.<name>.openapi`: a server that an OpenAPI document describes, and which of its
operations are tools.

The document itself is read when a gateway is made of the configuration (gateway/openapi_wiring.py), which tells what is wrong
with it at its place in the document.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, StrictStr, ValidationInfo

from counterseal.config.part import Part
from counterseal.config.problems import wrong
from counterseal.config.source import Source
from counterseal.config.values import Patterns

_REMOTE: Final = ("http:", "https:", "file:")


def _document(text: str, info: ValidationInfo) -> str:
    if text.startswith(_REMOTE):
        raise wrong("is an address: nothing is fetched; save the document beside this file and write its path")
    if not text or not text.isprintable():
        raise wrong("must be the path of a file")
    return str(Source.of(info).folder / text)


DocumentPath = Annotated[StrictStr, AfterValidator(_document)]


class OpenApi(Part):
    """Which operations become tools: those that each of the keys selects, without those in `exclude`. None: any.

    on_unmapped: what an operation is that is selected and has no form as a tool. output_schemas: promise what the document
    says of answers.
    """

    tags: Patterns | None = None
    paths: Patterns | None = None
    operations: Patterns | None = None
    exclude: Patterns | None = None
    on_unmapped: Literal["skip", "error"] = "skip"
    output_schemas: bool = True
