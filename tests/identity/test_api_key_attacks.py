"""API keys under attack (A-01 to A-11); what else each row asks for is in the files beside this one."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import json
import math
import random
import secrets
import statistics
import time
from collections.abc import Callable

import pytest

from counterseal.config.schema import Configuration
from counterseal.core.call import Inbound
from counterseal.errors import BadCall, CallError, Unauthenticated
from counterseal.identity.api_key import ApiKeys
from counterseal.identity.identify import Identify
from counterseal.identity.key_form import RANDOM_BYTES, make_key
from counterseal.store.memory import MemoryStore
from counterseal.store.port import SecretStore
from tests.identity.keys import (
    ID,
    INBOUND,
    KEY,
    NEW_KEY,
    NOW,
    PEPPER,
    ROTATED,
    ROW,
    HeldClock,
    Source,
    keys_of,
    refusal,
    with_check,
)
from tests.support.tokens import vectors

MADE_UP = make_key(bytes(RANDOM_BYTES))[1]


def sent(header: bytes, value: bytes) -> Inbound:
    return Inbound("POST", "weather", ((header, value),), b"", "127.0.0.1")


async def answer(keys: ApiKeys, inbound: Inbound) -> CallError | None:
    """How the gateway refuses what a request proves itself with; None where it does not."""
    try:
        await Identify([keys], anonymous=False, issuer="https://gateway.example.com")(inbound)
    except CallError as error:
        return error
    return None


# time and text


Sample = tuple[str, bytes]

_SEEN_BY_NOBODY = 50.0
"""Nanoseconds. Over a local network about 100 have been told apart, by those who could choose everything else."""


def t_value(judge: Callable[[bytes], object], samples: list[Sample]) -> float:
    """Welch's t of how much longer one kind of sample takes than the other, beyond what nobody could see.

    The slowest tenth is left out: that is the machine, not the code.
    """
    taken: dict[str, list[int]] = {kind: [] for kind, _ in samples}
    for kind, key in samples:
        begin = time.perf_counter_ns()
        judge(key)
        taken[kind].append(time.perf_counter_ns() - begin)
    slowest = sorted(value for values in taken.values() for value in values)[len(samples) * 9 // 10]
    one, other = ([value for value in values if value <= slowest] for values in taken.values())
    error = math.sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))
    return (abs(statistics.mean(one) - statistics.mean(other)) - _SEEN_BY_NOBODY) / error


def least_t_value(judge: Callable[[bytes], object], kinds: dict[str, list[bytes]]) -> float:
    """Over 100,000 samples in random order; the least of a few rounds, because a leak is in each and a busy machine is not."""
    draw = random.Random(1)
    least = math.inf
    gc.disable()
    try:
        for _ in range(5):
            samples = [(kind, draw.choice(kinds[kind])) for kind in draw.choices(list(kinds), k=100_000)]
            least = min(least, t_value(judge, samples))
            if least < 4.5:
                break
    finally:
        gc.enable()
    return least


def timed(judged: ApiKeys) -> Callable[[bytes], object]:
    def judge(key: bytes) -> object:
        try:
            return judged.holder(key, NOW)
        except Unauthenticated:
            return None

    return judge


async def test_a_01_an_unknown_id_takes_as_long_as_a_known_one() -> None:
    made = [make_key(secrets.token_bytes(RANDOM_BYTES)) for _ in range(500)]
    rows = [dataclasses.replace(ROTATED, id=id) for id, _ in made[::2]] + [dataclasses.replace(ROW, id=made[1][0])]
    keys = await keys_of(*rows)
    judge = timed(keys)
    known = [make_key(secrets.token_bytes(RANDOM_BYTES), row.id)[1].encode() for row in rows for _ in range(2)]
    unknown = [make_key(secrets.token_bytes(RANDOM_BYTES))[1].encode() for _ in known]
    assert least_t_value(judge, {"known": known, "unknown": unknown}) < 4.5
    # The same measure on what does differ: a key that is not of the form costs no HMAC.
    assert least_t_value(judge, {"unknown": unknown, "misspelt": [key[:-1] for key in unknown]}) > 4.5


async def test_a_01_the_store_is_asked_no_less_for_a_known_id_than_for_an_unknown_one() -> None:
    """A query takes longer than everything else together, so it must not tell them apart."""
    asked = []
    for guess in (MADE_UP, make_key(bytes(RANDOM_BYTES), ID)[1]):
        store = MemoryStore()
        await store.add_api_key(ROW)
        source = Source(store)
        keys = ApiKeys(source, PEPPER, HeldClock())
        await keys.refresh()
        with pytest.raises(Unauthenticated):
            await keys.authenticate(guess.encode(), INBOUND)
        asked.append(source.asked)
    assert asked[0] == asked[1] == ["generation", "api_keys", "generation"]


async def test_a_01_every_refusal_reads_the_same() -> None:
    """Status, text, headers and data: what is wrong is for the record alone."""
    ended = (
        dataclasses.replace(ROW, id="revokedkey00", revoked=1.0),
        dataclasses.replace(ROW, id="expiredkey00", expires=1.0),
    )
    keys = await keys_of(ROTATED, *ended)
    guesses = [MADE_UP, make_key(bytes(RANDOM_BYTES), ID)[1], KEY[:-1], KEY[:-1] + "?"]
    guesses += [make_key(bytes(RANDOM_BYTES), row.id)[1] for row in ended]
    seen = set()
    for guess in guesses:
        refused = await answer(keys, sent(b"x-api-key", guess.encode()))
        assert refused is not None
        seen.add((refused.reason.code, refused.message, refused.headers, tuple(refused.data)))
    assert len(seen) == 1
    assert await answer(keys, sent(b"x-api-key", KEY.encode())) is None


# injection


INJECTED = (
    *("' OR '1'='1", "'; DROP TABLE api_keys; --", '" OR ""="', "1 UNION SELECT mac FROM api_keys", "%", "_" * 12, "*"),
    *("{$ne: null}", '{"$gt": ""}', "../../etc/passwd", "${jndi:ldap://x}", "{{7*7}}", "a\x00b", "abcdefghijk\u0131"),
)


@pytest.mark.parametrize("injected", INJECTED)
async def test_a_03_an_injected_id_reaches_neither_the_table_nor_the_store(injected: str) -> None:
    source = Source(MemoryStore())
    keys = ApiKeys(source, PEPPER, HeldClock())  # it has read no keys, so a look-up would be CannotTell
    guess = with_check(f"csk_{injected}_{KEY[17:-6]}")
    refused = await answer(keys, sent(b"x-api-key", guess))
    assert refused is not None
    assert refused.reason.code == "credential_invalid"
    assert "API key" not in (refused.detail or "").removeprefix("not an API key").removeprefix("X-API-Key")
    assert source.asked == []


# guessing, and locking out


async def test_a_05_no_number_of_guesses_locks_a_good_key_out() -> None:
    """From the same address, at the same id: a count of failures would be a switch that anybody could turn."""
    keys = await keys_of(ROTATED)
    for guess in range(10_000):
        wrong = make_key(guess.to_bytes(16, "big") * 3, ID if guess % 2 else None)[1]
        assert refusal(keys, wrong.encode())
    for key in (KEY, NEW_KEY):
        assert await keys.authenticate(key.encode(), INBOUND) is not None


# nobody chooses a secret


async def test_a_06_the_pepper_is_drawn_and_nothing_sets_it() -> None:
    assert list(inspect.signature(SecretStore.secret).parameters) == ["self", "name"]
    drawn = [await MemoryStore().secret("api_key_pepper") for _ in range(3)]
    assert len(set(drawn)) == 3
    assert {len(pepper) for pepper in drawn} == {32}
    words = json.dumps(Configuration.model_json_schema()).lower()
    assert "callers" in words
    assert "pepper" not in words


async def test_a_06_no_text_that_somebody_thought_of_is_a_key() -> None:
    """A key of the right form is 32 random bytes: `make_key` takes nothing else."""
    keys = await keys_of(ROW)
    for weak in ("changeme", "secret", "password", "sk-1234", "test", "csk_test", "csk_example_key", "csk_" + "a" * 62):
        refused = await answer(keys, sent(b"x-api-key", weak.encode()))
        assert refused is not None
        assert refused.reason.code == "credential_invalid"


# strings that no key is


NAUGHTY = (
    *(
        "",
        " ",
        "\t",
        "null",
        "undefined",
        "None",
        "NaN",
        "true",
        "0",
        "-1",
        "Bearer",
        "Bearer ",
        "csk_",
        "csk__",
        "[]",
        "{}",
    ),
    *(
        "\u0661\u0662\u0663",
        "csk_" + "\u0661" * 12,
        "\uff43\uff53\uff4b_",
        "\u200b",
        "\ufeff",
        "\x00",
        "\r\n",
        "a\r\nX-API-Key: b",
    ),
)


def naughty() -> list[str]:
    return [*NAUGHTY, *json.loads((vectors("blns") / "blns.json").read_text())]


async def test_a_11_no_naughty_string_is_a_key_or_a_defect() -> None:
    """As a whole, as what follows the prefix, as an id, as a secret; in both headers. 401 or 400, and the store hears nothing."""
    source = Source(MemoryStore())
    keys = ApiKeys(source, PEPPER, HeldClock())
    begin = time.process_time()
    tried = 0
    for text in naughty():
        whole = text.encode(errors="surrogatepass")
        forms = (whole, b"csk_" + whole, b"csk_" + whole + b"_" + KEY[17:].encode(), KEY[:17].encode() + whole)
        for form in forms:
            for inbound in (sent(b"x-api-key", form), sent(b"authorization", b"Bearer " + form)):
                refused = await answer(keys, inbound)
                assert isinstance(refused, Unauthenticated | BadCall), form
                assert refused.reason.status in (400, 401), form
                tried += 1
    assert tried > 8 * 500
    assert source.asked == []
    assert (time.process_time() - begin) / tried < 0.005


async def test_a_11_a_key_as_long_as_a_mebibyte_is_refused_fast() -> None:
    keys = await keys_of(ROW)
    long = b"a" * (1 << 20)
    for presented in (long, b"csk_" + long, KEY.encode() + long, b"csk_" + b"a" * 12 + b"_" + long):
        begin = time.process_time()
        refused = await answer(keys, sent(b"x-api-key", presented))
        assert time.process_time() - begin < 0.5
        assert refused is not None
        assert refused.reason.code == "credential_invalid"
    assert await answer(keys, sent(b"x-api-key", KEY.encode())) is None


async def test_a_08_two_headers_with_the_same_good_key_are_too_many() -> None:
    keys = await keys_of(ROW)
    bearer, key = (b"authorization", b"Bearer " + KEY.encode()), (b"x-api-key", KEY.encode())
    for headers in ((bearer, key), (bearer, bearer), (key, key)):
        refused = await answer(keys, Inbound("POST", "weather", headers, b"", "127.0.0.1"))
        assert refused is not None
        assert refused.reason.code == "ambiguous_credentials"
    for header in (bearer, key):
        assert await answer(keys, sent(*header)) is None
