"""`x-counterseal-debug`: what a server's owner wants to know of a call token while setting a server up.

* It says what the token says, and where that came from. It never holds a token or anything that could be used as a credential.
* It is one line of printable ASCII and at most 2 KiB, whatever claims hold: JSON with everything else escaped.
* What is too long is cut, ends in `...`, and is named in `cut`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from counterseal.core.caller import Caller
from counterseal.core.claims import SignerSettings
from counterseal.core.origins import Origins
from counterseal.core.paths import written

HEADER: Final = "x-counterseal-debug"
LONGEST: Final = 2048

_MARK: Final = "..."
# Bytes of JSON. All of them at their longest leave a quarter of the line for origins.
_TEXT: Final = 320
_ACTOR: Final = 200
_ORIGIN: Final = 160


def debug_line(signer: SignerSettings, kid: str, claims: Mapping[str, Any], caller: Caller, origins: Origins) -> str:
    """The header's value. claims: of the call token. origins: of the same claims."""
    cut: list[str] = []
    line: dict[str, Any] = {
        "signer": "counterseal",
        "kid": _short(kid, _ACTOR, "kid", cut),
        "iss": _short(claims["iss"], _TEXT, "iss", cut),
        "sub": _short(claims["sub"], _TEXT, "sub", cut),
        "act": _actor(claims["act"], cut),
        "mode": signer.mode,
        "profile": signer.profile.name,
        "channel_token": caller.channel is not None,
    }
    left = LONGEST - len(_text({**line, "cut": [*cut, "origins"], "origins": {}}))
    shown: dict[str, str] = {}
    for path, origin in origins.items():
        name, what = written(path), f"{origin.kind} {origin.detail}".rstrip()
        short = _shortened(what, _ORIGIN)
        size = len(_text({name: short}))  # with two braces, which stand for the comma
        if size > left or short != what:
            _note(cut, "origins")
        if size <= left:
            shown[name] = short
            left -= size
    if cut:
        line["cut"] = cut
    return _text({**line, "origins": shown})


def _actor(act: Mapping[str, Any], cut: list[str]) -> Any:
    """The whole chain, or the outermost actor alone by the names that it has."""
    if len(_text(act)) <= _TEXT:
        return act
    _note(cut, "act")
    named = {name: act[name] for name in ("sub", "client_id") if isinstance(act.get(name), str)}
    return {name: _shortened(value, _ACTOR) for name, value in named.items()}


def _short(text: str, most: int, name: str, cut: list[str]) -> str:
    short = _shortened(text, most)
    if short != text:
        _note(cut, name)
    return short


def _shortened(text: str, most: int) -> str:
    """The text, or its beginning and the mark, in at most so many bytes of JSON."""
    if len(_text(text)) <= most:
        return text
    left = most - len(_MARK) - 2
    for index, char in enumerate(text):
        left -= len(_text(char)) - 2
        if left < 0:
            return text[:index] + _MARK
    raise AssertionError("a text that is too long has a character too many")


def _note(cut: list[str], name: str) -> None:
    if name not in cut:
        cut.append(name)


def _text(value: Any) -> str:
    """Compact JSON in printable ASCII: even DEL and half a surrogate pair are escaped."""
    return json.dumps(value, separators=(",", ":"))
