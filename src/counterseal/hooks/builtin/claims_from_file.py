"""`claims_from_file`: a claim source that looks a caller up in a JSON file.

The file holds one object: names of callers to the claims that each gets. Whose names they are is said once, for the whole file,
because two issuers may both have an `alice`: `by` says which of a caller's names is looked up, `issuer` whose tokens it is for;
left out, it is for API keys.

A file that cannot be read at start keeps the gateway from starting. One that cannot be read later changes nothing: what was read
last holds, and the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from counterseal.core import strict_json
from counterseal.core.limits import LIMITS
from counterseal.hooks.accept import NotAcceptable
from counterseal.hooks.accept import claims as accepted
from counterseal.hooks.offered import Offered
from counterseal.hooks.protocols import Additions
from counterseal.hooks.view import CallerView, View

_log = logging.getLogger("counterseal.hooks")

_MOST_BYTES: Final = 1024 * 1024
_PAUSE_SECONDS: Final = 1.0
_BY: Final[Mapping[str, Callable[[CallerView], str | None]]] = {
    "subject": lambda caller: caller.subject,
    "client_id": lambda caller: caller.client_id,
    "team": lambda caller: caller.team,
}
_NOTHING: Final = Additions()


class ClaimsFromFile:
    """file: relative to the configuration's folder. by: `subject`, `client_id` or `team`. issuer: whose tokens it is for; None
    for API keys."""

    def __init__(self, *, file: str, by: str = "subject", issuer: str | None = None, offered: Offered) -> None:
        if not isinstance(file, str) or not file:
            raise ValueError("`file` must be the path of a JSON file")
        if not isinstance(by, str) or by not in _BY:
            raise ValueError(f"`by` must be one of {', '.join(_BY)}")
        if issuer is not None and not isinstance(issuer, str):
            raise ValueError("`issuer` must be the issuer of the tokens that the file is for")
        self._path = offered.path(file)
        self._name = _BY[by]
        self._issuer = issuer
        self._clock = offered.clock
        self._looked = offered.clock.monotonic()
        self._seen, self._claims = self._read()

    async def claims(self, view: View) -> Additions:
        if self._clock.monotonic() - self._looked >= _PAUSE_SECONDS:
            self._look()
        caller = view.caller
        if caller.kind != ("api_key" if self._issuer is None else "token") or caller.issuer != self._issuer:
            return _NOTHING
        claims = self._claims.get(self._name(caller) or "")
        return _NOTHING if claims is None else Additions(claims)

    def _look(self) -> None:
        """Read the file again if it has changed."""
        self._looked = self._clock.monotonic()
        try:
            if self._stamp() == self._seen:
                return
            self._seen, self._claims = self._read()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            if self._seen is not None:
                _log.error("%s: %s; what was read last holds", self._path, why)
            self._seen = None

    def _stamp(self) -> tuple[int, int, int]:
        found = self._path.stat()
        if found.st_mode & 0o022:
            raise ValueError(f"the file {self._path} can be written by other accounts: run `chmod go-w {self._path}`")
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> tuple[tuple[int, int, int] | None, Mapping[str, Mapping[str, Any]]]:
        """Raises ValueError with what is wrong, without quoting the file."""
        try:
            stamp = self._stamp()
            with self._path.open("rb") as file:
                text = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise ValueError(f"the file {self._path} cannot be read ({error.strerror}): name one that can") from None
        if len(text) > _MOST_BYTES:
            raise ValueError(f"the file {self._path} holds more than {_MOST_BYTES} bytes")
        try:
            entries = strict_json.read(text, depth=LIMITS.token_json_depth, members=LIMITS.json_members)
        except (strict_json.NotStrict, strict_json.TooBig) as error:
            raise ValueError(f"the file {self._path} is not strict JSON: {error}") from None
        if not isinstance(entries, dict):
            raise ValueError(f"the file {self._path} must hold one object, of names to claims")
        claims = {}
        for number, (name, given) in enumerate(entries.items(), 1):
            try:
                claims[name] = accepted(given, LIMITS)
            except NotAcceptable as error:
                raise ValueError(f"the file {self._path}: entry {number}: {error}") from None
        return stamp, claims
