"""What is made anew for each call: frozen like everything else here, at a fifth of what a frozen dataclass costs to make."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Value(msgspec.Struct, frozen=True):
    """Compared by its fields. UNSHOWN: fields that hold what no log or error may show; `repr` leaves them out."""

    UNSHOWN: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        shown = (name for name in self.__struct_fields__ if name not in self.UNSHOWN)
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"
