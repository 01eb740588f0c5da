"""Where a configuration comes from: what its values are told by, and read against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationInfo

from counterseal.config.secret import Secret, SecretReference


@dataclass(frozen=True, slots=True)
class Source:
    """Where a configuration comes from. name: what messages call the file. folder: what relative paths in it start from.

    places: key path to line and column. with_secrets: see to it that every secret can be had. held: secrets that stand in the
    file itself, which a LiteLLM file may, by the reference that stands for them. notes: what is to be said at each start.
    """

    name: str = "configuration"
    folder: Path = field(default_factory=Path.cwd)
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    with_secrets: bool = True
    held: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, info: ValidationInfo) -> Source:
        return info.context if isinstance(info.context, Source) else cls()

    def reference(self, text: str) -> SecretReference:
        """The secret that a text refers to. Raises Unresolved."""
        return self._with_held(SecretReference.parse(text, self.folder))

    def header_reference(self, text: str) -> SecretReference:
        """The same for the value of a header, which may have a scheme. Raises Unresolved."""
        return self._with_held(SecretReference.parse_header(text, self.folder))

    def _with_held(self, reference: SecretReference) -> SecretReference:
        held = self.held.get(f"{reference.kind}:{reference.place}")
        return reference if held is None else replace(reference, held=held)
