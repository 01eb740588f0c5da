"""Legacy session ids: only who opened a session, at the server where it was opened, can use what it is sealed in."""

from __future__ import annotations

import base64
import dataclasses

import pytest

from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.core.methods import LEGACY
from counterseal.errors import BadCall, ServerError
from counterseal.servers.session import Sessions
from tests.support.tokens import NOW, FixedClock

KEY = bytes(range(32))
ALICE = Caller(kind="token", client_id="ide", issuer="https://idp", subject="alice")
TEXT = "there is no such session: send `initialize` again"


def sessions(clock: FixedClock | None = None, key: bytes = KEY) -> Sessions:
    return Sessions(key, clock or FixedClock(), LIMITS)


def sealed(
    caller: Caller = ALICE, server: str = "weather", server_id: str = "s-1", revision: str = "2025-11-25"
) -> str:
    return sessions().seal(caller, server, server_id, revision).sealed


def refused(presented: str, caller: Caller = ALICE, server: str = "weather", opened: Sessions | None = None) -> None:
    """It is 404, with the same text for every cause."""
    with pytest.raises(BadCall) as told:
        (opened or sessions()).open(caller, server, presented)
    error = told.value
    assert (error.reason.code, error.reason.status, error.message, error.detail, error.data, error.headers) == (
        "session_unknown",
        404,
        TEXT,
        None,
        {},
        (),
    )
    assert error.__cause__ is None


@pytest.mark.parametrize("revision", LEGACY)
@pytest.mark.parametrize("server_id", ["s", "a" * 1024, "~!*'();:@&=+$,/?%#[]"])
def test_a_session_comes_back_as_it_was_sealed(revision: str, server_id: str) -> None:
    made = sessions().seal(ALICE, "weather", server_id, revision)
    assert sessions().open(ALICE, "weather", made.sealed) == made
    assert (made.server_id, made.revision) == (server_id, revision)
    assert made.sealed.isascii()
    assert made.sealed.replace("-", "").replace("_", "").isalnum()


def test_m_10_nothing_of_the_server_or_the_caller_can_be_read_in_it() -> None:
    made = sealed(server_id="server-session-canary")
    box = base64.urlsafe_b64decode(made + "=" * (-len(made) % 4))
    for text in (b"server-session", b"canary", b"alice", b"ide", b"idp", b"weather", b"2025"):
        assert text not in box


def test_m_09_a_session_is_sealed_differently_each_time() -> None:
    assert len({sealed() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "bob"},
        {"subject": None},
        {"client_id": "other"},
        {"issuer": "https://other"},
        {"issuer": None},
        {"kind": "api_key"},
        {"kind": "anonymous"},
        {"client_id": "ideh", "subject": "alice"},
        {"issuer": "https://idpi", "client_id": "de"},
    ],
    ids=str,
)
def test_m_09_another_callers_session_is_404(change: dict[str, str | None]) -> None:
    other = dataclasses.replace(ALICE, **change)  # type: ignore[arg-type]
    refused(sealed(), other)
    assert sessions().open(other, "weather", sealed(other)).server_id == "s-1"


def test_m_09_the_same_caller_with_a_new_token_keeps_its_session() -> None:
    renewed = dataclasses.replace(ALICE, claims={"sub": "alice", "jti": "2"}, expires=NOW + 5000.0)
    assert sessions().open(renewed, "weather", sealed()).server_id == "s-1"


@pytest.mark.parametrize("server", ["files", "Weather", "weathe", "weather2", ""])
def test_m_09_a_session_of_one_server_is_404_at_another(server: str) -> None:
    refused(sealed(), server=server)
    assert sessions().open(ALICE, server, sealed(server=server)).server_id == "s-1"


def test_m_09_a_session_ends_after_a_day() -> None:
    clock = FixedClock()
    made = sessions(clock).seal(ALICE, "weather", "s-1", "2025-11-25").sealed
    clock.advance(LIMITS.session_seconds - 1)
    assert sessions(clock).open(ALICE, "weather", made)
    clock.advance(1)
    refused(made, opened=sessions(clock))


def test_a_session_goes_on_with_a_renewed_credential_of_the_same_caller() -> None:
    """Access tokens live for minutes; each request proves its own, so a session need not end with the first one."""
    clock = FixedClock()
    caller = dataclasses.replace(ALICE, expires=NOW + 60.0)
    made = sessions(clock).seal(caller, "weather", "s-1", "2025-11-25").sealed
    clock.advance(61)
    renewed = dataclasses.replace(ALICE, expires=NOW + 10_000.0)
    assert sessions(clock).open(renewed, "weather", made)
    refused(made, dataclasses.replace(renewed, subject="bob"), opened=sessions(clock))


def test_m_09_a_credential_that_outlives_the_session_does_not_lengthen_it() -> None:
    clock = FixedClock()
    caller = dataclasses.replace(ALICE, expires=NOW + 10.0 * LIMITS.session_seconds)
    made = sessions(clock).seal(caller, "weather", "s-1", "2025-11-25").sealed
    clock.advance(LIMITS.session_seconds)
    refused(made, caller, opened=sessions(clock))


def test_m_09_every_flipped_bit_is_404() -> None:
    made = sealed()
    box = bytearray(base64.urlsafe_b64decode(made + "=" * (-len(made) % 4)))
    for position in range(len(box) * 8):
        box[position // 8] ^= 1 << position % 8
        refused(base64.urlsafe_b64encode(box).rstrip(b"=").decode())
        box[position // 8] ^= 1 << position % 8
    assert sessions().open(ALICE, "weather", made)


def test_m_09_every_cut_is_404() -> None:
    made = sealed()
    for length in range(len(made)):
        refused(made[:length])
        refused(made[length + 1 :])


def test_m_09_a_session_under_another_key_is_404() -> None:
    refused(sealed(), opened=sessions(key=bytes(32)))


def test_m_09_two_workers_with_one_key_open_each_others_sessions() -> None:
    assert Sessions(KEY, FixedClock(), LIMITS).open(ALICE, "weather", sealed()).server_id == "s-1"


@pytest.mark.parametrize(
    "spell",
    [
        lambda made: made + "=",
        lambda made: made + "==",
        lambda made: made + "A",
        lambda made: made + " ",
        lambda made: " " + made,
        lambda made: made + "\n",
        lambda made: made[:20] + "\n" + made[20:],
        lambda made: made[:20] + "!" + made[20:],
        lambda made: made.replace("-", "+").replace("_", "/") + "+",
        lambda made: made.swapcase(),
        lambda made: made + made,
        lambda made: "\N{FULLWIDTH LATIN CAPITAL LETTER A}" + made[1:],
        lambda made: "s-1",
        lambda made: "",
        lambda made: "=",
        lambda made: "A",
        lambda made: "AAAA",
        lambda made: "A" * 40,
        lambda made: "A" * 2048,
        lambda made: "A" * 2049,
        lambda made: "A" * 100_000,
    ],
)
def test_m_09_made_up_ids_and_other_spellings_are_404(spell: object) -> None:
    refused(spell(sealed()))  # type: ignore[operator]


@pytest.mark.parametrize("server_id", ["", " ", "a b", "a\n", "a\0", "\x7f", "é", "\u2028", "a" * 1025, "\ud800"])
def test_a_servers_session_id_is_visible_ascii_or_its_answer_is_not_valid(server_id: str) -> None:
    with pytest.raises(ServerError) as failed:
        sessions().seal(ALICE, "weather", server_id, "2025-11-25")
    assert failed.value.reason.code == "server_answer_invalid"


def test_neither_id_is_in_what_a_session_prints() -> None:
    made = sessions().seal(ALICE, "weather", "server-canary", "2025-11-25")
    assert "canary" not in repr(made)
    assert made.sealed not in repr(made)
