"""How a value differs from the one that is expected: the slips that people make, told apart, without quoting the token.

Issuers and audiences are compared to the byte (J-17, J-18). RFC 3986 section 6 knows spellings that mean the same
address, and tools print one of them where another was configured. Here they stay different, and the text says which slip it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def difference(claim: str, theirs: Any, ours: str) -> str:
    """How the value of a claim differs, and what is expected. theirs: of any type, and not equal to ours."""
    if not isinstance(theirs, str):
        return f"`{claim}` is missing or not a string; {ours!r} is expected"
    return f"`{claim}` {_slip(theirs, ours)}; {ours!r} is expected"


@dataclass(frozen=True, slots=True)
class _Address:
    """An absolute URL in the parts that slips are about, as they are spelled. path: with the query and the fragment."""

    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def of(cls, text: str) -> _Address | None:
        """None where the text is no such URL."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return None
        scheme, separator, rest = text.partition("://")
        if not separator or not parts.netloc:
            return None
        host = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
        return cls(scheme, host, port, rest[len(parts.netloc) :])

    @property
    def place(self) -> tuple[str, str, int | None]:
        """Scheme, host and port in their one normal form."""
        scheme = self.scheme.lower()
        return scheme, self.host.lower(), self.port or _DEFAULT_PORTS.get(scheme)


def _slip(theirs: str, ours: str) -> str:
    if theirs.rstrip("/") == ours.rstrip("/"):
        return "differs only in a slash at the end"
    one, other = _Address.of(theirs), _Address.of(ours)
    slip = _slip_in_address(one, other) if one and other else None
    if slip is not None:
        return slip
    if theirs.lower() == ours.lower():
        return "differs only in upper and lower case"
    return _slip_in_text(theirs, ours) or "is another"


def _slip_in_address(theirs: _Address, ours: _Address) -> str | None:
    """None where they have too little in common."""
    same_path = theirs.path.rstrip("/") == ours.path.rstrip("/")
    if theirs.place == ours.place and same_path:
        what = "upper and lower case of the scheme or the host"
        if theirs.port != ours.port:
            what = "the default port, which only one of them spells out"
        return f"differs only in {what}" + ("" if theirs.path == ours.path else ", and a slash at the end")
    if theirs.place == ours.place:
        return f"has another path at the same host: it {_slip_in_path(theirs.path, ours.path)}"
    if not same_path or theirs.host.lower() != ours.host.lower():
        return None
    if theirs.scheme.lower() != ours.scheme.lower():
        return "differs in the scheme, such as http and https"
    return "has another port at the same host"


def _slip_in_path(theirs: str, ours: str) -> str:
    if theirs.lower().rstrip("/") == ours.lower().rstrip("/"):
        return "differs in upper and lower case, which count in a path"
    if unquote(theirs) == unquote(ours):
        return "differs only in characters that one of them escapes"
    return _slip_in_text(theirs, ours) or "is another"


def _slip_in_text(theirs: str, ours: str) -> str | None:
    if ours.startswith(theirs):
        return "is only the beginning of what is expected"
    return "begins like what is expected and goes on" if theirs.startswith(ours) else None
