"""What `counterseal apikey inspect` says about a key that was found somewhere: whose it is, whether it works, never the key."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final, Literal

from counterseal.identity.key_form import id_in, is_checked, mac
from counterseal.store.port import ApiKeyRow

State = Literal[
    "active", "previous", "replaced", "revoked", "expired", "wrong_secret", "unknown", "not_a_key", "not_looked_up"
]

MEANING: Final[dict[State, str]] = {
    "active": "it works. `counterseal apikey revoke` ends the key, `counterseal apikey rotate` gives its caller a new secret",
    "previous": "it is the earlier secret of a key and works until its overlap is over; rotating again ends it at once",
    "replaced": "it is the earlier secret of a key, and works no more",
    "revoked": "it was revoked and works no more",
    "expired": "it has expired and works no more",
    "wrong_secret": "there is a key of this id, with another secret: this one is older than the last two, or made up",
    "unknown": "it is no key of this store; another gateway may have made it",
    "not_a_key": "it has the shape of a key but a character is wrong",
    "not_looked_up": "it is a key that some Counterseal made",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One key of a text. subject: whose it is, where the store has the id."""

    id: str
    state: State
    subject: str | None = None

    @property
    def works(self) -> bool | None:
        """Whether a gateway with this store accepts it now; None where nobody looked."""
        return None if self.state == "not_looked_up" else self.state in ("active", "previous")


@dataclass(frozen=True, slots=True)
class Known:
    """The keys of one store, by id, and its pepper."""

    rows: dict[str, ApiKeyRow]
    pepper: bytes


def judge(key: bytes, known: Known | None, now: float) -> Found:
    """key: what has the shape of one. known: None to go by the check alone. now: seconds since the epoch."""
    id = id_in(key)
    assert id is not None
    if not is_checked(key):
        return Found(id, "not_a_key")
    if known is None:
        return Found(id, "not_looked_up")
    row = known.rows.get(id)
    if row is None:
        return Found(id, "unknown")
    return Found(id, _state(row, mac(known.pepper, key), now), row.subject)


def _state(row: ApiKeyRow, presented: bytes, now: float) -> State:
    is_current = hmac.compare_digest(presented, row.mac)
    if not is_current and not hmac.compare_digest(presented, row.previous_mac or b""):
        return "wrong_secret"
    if row.revoked is not None:
        return "revoked"
    if not row.in_force(now):
        return "expired"
    if is_current:
        return "active"
    return "previous" if now < (row.previous_ends or 0.0) else "replaced"
