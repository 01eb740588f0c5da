"""Tokens whose claims are the trick, under a right header and a right signature: only the reader and the rules stand before
them."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from bench.attack.forge import ABSENT, LEEWAY, LIFE_SECONDS, Forge, Make, changed, member, numeric_now

_NO_NUMBERS: Final = (
    *("null", "true", "false", '"1"', '"never"', '""', '"2100-01-01T00:00:00Z"', "[]", "{}", "[4102444800]"),
    *('{"at":4102444800}', "1e999", "-1e999", "1E400", "NaN", "-NaN", "Infinity", "-Infinity", "+1", "0x7fffffff"),
    *("01", "1_000", ".5", "1.", "1e", "-1", "-0.5", "-1e30", "1e30", "253402300800", "99999999999999", "9" * 100),
    *("9" * 400, "9" * 2000, "1e308", "4e9e9", "--1"),
)
"""In place of a date: what is no JSON, no number, or no second of the years 1970 to 9999."""
_OVER: Final = ("0", "0.0", "1", "1e-400", "1e3", "1000000000")
_NO_TEXT: Final[tuple[Any, ...]] = (None, True, False, 0, 1, 1.5, [], {}, ["alice"], {"id": "alice"})
_UNSEEN: Final = (
    *("\0", "\t", "\n", "\r", "\r\n", "\x1b[31m", "\x7f", "\x85", "\u00ad", "\u061c", "\u200b", "\u200e", "\u2028"),
    *("\u2029", "\u202e", "\u2066", "\ufeff", "\U000e0041"),
)
_UNPAIRED: Final = ("\\ud800", "\\udc00", "\\udfff\\ud800", "\\ud83d", "\\uD800x")
_ACT: Final[tuple[Any, ...]] = (
    *("agent", "", 1, 0, 1.5, True, False, [], ["agent"], [{"sub": "agent"}], {}, {"sub": None}, {"sub": 1}),
    *({"sub": ""}, {"x": 1}, {"sub": ["a"]}, {"sub": {}}, {"act": {"sub": "a"}}, {"sub": "a", "act": "b"}),
    *({"sub": "a", "act": []}, {"sub": "a\0"}, {"client_id": 7}, {"sub": "a" * 256}, {"sub": "a", "client_id": 1}),
    *({"sub": "a", "iss": 1}, {"sub": "a", "act": {"iss": "b"}}),
)
_MAY_ACT: Final[tuple[Any, ...]] = (
    *(None, "agent", "", 1, True, False, [], ["agent"], {}, {"x": 1}, {"sub": 1}, {"sub": None}, {"sub": ""}),
    *({"client_id": []}, {"iss": {}}, {"sub": "a\u202e"}, {"sub": "a" * 256}, [{"sub": "a"}]),
)
_CONFIRMATION: Final[tuple[Any, ...]] = (
    *(None, "", {}, [], {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "a"}, {"jwk": {}}, 1),
    False,
)
_KINDS: Final[tuple[Mapping[str, Any], ...]] = (
    *({"at_hash": "x"}, {"c_hash": "x"}, {"at_hash": None}, {"typ": "ID"}, {"token_use": "id"}),
    *({"nonce": "n", "at_hash": "x", "auth_time": 1}, {"events": {}}, {"events": None}),
    {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
)


def exp(forge: Forge) -> bytes:
    """Missing, no date, or over: the leeway ends at the very second."""
    now, claims = numeric_now(), forge.claims(exp=ABSENT)
    if forge.rng.random() < 0.9:  # else it would be before `nbf` and `iat` as well
        del claims["nbf"], claims["iat"]
    pick = forge.rng.random()
    if pick < 0.05:
        return forge.token(claims)
    over = (f"{now - LEEWAY}", f"{now - LEEWAY - 1}", f"{now - LEEWAY}.0", f"{now - forge.rng.randint(LEEWAY, 10**9)}")
    return forge.token(member(claims, "exp", forge.rng.choice((*_OVER, *over) if pick < 0.4 else _NO_NUMBERS)))


def _start(name: str) -> Make:
    def make(forge: Forge) -> bytes:
        """No date, in the future by more than this run takes, or after the end."""
        now = numeric_now()
        soon = f"{now + forge.rng.randint(LEEWAY + 60, LIFE_SECONDS - 60)}"
        later = (soon, f"{soon}.5", f"{now + forge.rng.randint(LIFE_SECONDS + 1, 10**9)}", "253402300799")
        return forge.with_claim_text(name, forge.rng.choice(later if forge.rng.random() < 0.4 else _NO_NUMBERS))

    return make


def _near(forge: Forge, good: str) -> Any:
    """What is nearly this text, and not it."""
    cut = forge.rng.randrange(len(good))
    near = (
        *(good[:cut], good[:-1], good[cut + 1 :], good + "/", good + "//", good + "x", good + " ", " " + good),
        *(good + "\0", good + "#", good + "?", good + "\n", good.upper(), good.title()),
        *(good[:cut] + good[cut:].swapcase() + "x", f"<{good}>", good.replace("http:", "https:")),
        *(good.replace("127.0.0.1", "localhost"), good.replace("127.0.0.1", "127.1")),
        *(good.replace("://", "://user@"), good.replace("://", "://user:pw@")),
        *(good.replace("127.0.0.1", "2130706433"), good.replace(".", "%2e"), good.replace("/", "\u2215")),
        *(good.replace("o", "\u043e"), urllib.parse.quote(good, safe=""), good.replace("127.0.0.1", "127.0.0.1.")),
        *(good.replace("://", ":///"), good + "/../", good + ";", good * 2, good + "," + good),
    )
    value = forge.rng.choice(near)
    return value if value != good else good + "-"


def audience(forge: Forge) -> bytes:
    ours = forge.audience
    wrong: tuple[Any, ...] = (
        *(ABSENT, None, "", "*", True, 1, {}, [], [None], {ours: True}, {"aud": ours}, [[ours]], [ours, 1]),
        *([None, ours], [ours] * 11, [f"{ours}/{n}" for n in range(11)], [ours, {}], [ours, True], forge.own),
        *(f"{forge.own}/mcp", forge.issuer, f"{forge.own}/mcp/rs256", [f"{forge.own}/mcp/rs256", forge.own]),
        *("attack", ["attack"], f"{ours} {forge.own}"),
    )
    pick = forge.rng.random()
    if pick < 0.4:
        return forge.with_claims(aud=_near(forge, ours))
    if pick < 0.5:
        return forge.with_claims(aud=[_near(forge, ours), _near(forge, ours)])
    return forge.with_claims(aud=forge.rng.choice(wrong))


def issuer(forge: Forge) -> bytes:
    """That of the partner, too: the partner's key of the same id is another."""
    ours = forge.issuer
    wrong: tuple[Any, ...] = (
        *(ABSENT, None, "", "*", True, 1, {}, [], [ours], [ours, forge.partner], {ours: True}, forge.partner),
        *(forge.own, f"{ours} {forge.partner}", f"{forge.own}/mcp", "https://idp.invalid", "accounts.google.com"),
        "self",
    )
    return forge.with_claims(iss=_near(forge, ours) if forge.rng.random() < 0.5 else forge.rng.choice(wrong))


def subject(forge: Forge) -> bytes:
    pick, name = forge.rng.random(), f"s{forge.rng.getrandbits(32):x}"
    if pick < 0.3:
        at = forge.rng.randint(0, len(name))
        return forge.with_claims(sub=name[:at] + forge.rng.choice(_UNSEEN) + name[at:])
    if pick < 0.4:
        return forge.with_claim_text("sub", f'"{name}{forge.rng.choice(_UNPAIRED)}"')
    if pick < 0.5:
        return forge.with_claims(sub="s" * forge.rng.randint(256, 2000))
    return forge.with_claims(sub=forge.rng.choice((*_NO_TEXT, ABSENT, "", "anonymous", "apikey:", f"apikey:{name}")))


def other_types(forge: Forge) -> bytes:
    """Claims that are a text or a list of texts, as something else. `null` is none at all, and so left out here."""
    wrong: Any = forge.rng.choice((True, 0, 1, 1.5, {}, {"a": "b"}, [1], [None], [["a"]], [{}]))
    name = forge.rng.choice(("client_id", "azp", "email", "scope"))
    if name == "azp":
        return forge.with_claims(client_id=ABSENT, azp=wrong)
    if name == "scope" or forge.rng.random() < 0.5:
        return forge.with_claims(**{name: wrong})
    return forge.with_claims(**{name: forge.rng.choice(("x" * 256, *(f"a{odd}" for odd in _UNSEEN)))})


def actors(forge: Forge) -> bytes:
    """`act` and `may_act` that are no actors, or too many of them."""
    pick = forge.rng.random()
    if pick < 0.3:
        return forge.with_claims(may_act=forge.rng.choice(_MAY_ACT))
    if pick < 0.7:
        return forge.with_claims(act=forge.rng.choice(_ACT))
    chain: dict[str, Any] = {"sub": "a"}
    for _ in range(forge.rng.randint(4, 14)):
        chain = {"sub": "a", "act": chain}
    return forge.with_claims(act=chain)


def another_actor(forge: Forge) -> bytes:
    """`may_act` names somebody; whoever acts is somebody else."""
    name = f"agent-{forge.rng.getrandbits(32):x}"
    act = forge.rng.choice((ABSENT, {"sub": "agent"}, {"sub": "agent", "act": {"sub": name}}))
    return forge.with_claims(act=act, may_act=forge.rng.choice(({"sub": name}, {"client_id": name}, {"iss": name})))


def bound_to_a_key(forge: Forge) -> bytes:
    return forge.with_claims(cnf=forge.rng.choice(_CONFIRMATION))


def another_kind(forge: Forge) -> bytes:
    if forge.rng.random() < 0.2:
        return _nothing_of_an_access_token(forge)
    return forge.with_claims(**forge.rng.choice(_KINDS))


def _nothing_of_an_access_token(forge: Forge) -> bytes:
    """What could be an ID token: neither its type nor a claim says otherwise."""
    held = forge.held()
    claims = forge.claims(scope=ABSENT, client_id=ABSENT, azp=forge.rng.choice(("attack", ABSENT)), nonce="n")
    header = changed(held.header(), {"typ": forge.rng.choice(("JWT", "jwt", "application/jwt", ABSENT))})
    return forge.token(claims, header, held)


def our_own(forge: Forge) -> bytes:
    """A call token that the gateway has made, or one that says so."""
    if forge.minted and forge.rng.random() < 0.5:
        return forge.rng.choice(forge.minted)
    return forge.with_claims(
        iss=forge.own, aud=forge.rng.choice((forge.audience, forge.own, "http://127.0.0.1:9/es256"))
    )


FAMILIES: Final[Mapping[str, Make]] = {
    "J-14 exp missing, no date or over": exp,
    "J-14 nbf no date or to come": _start("nbf"),
    "J-14 iat no date or to come": _start("iat"),
    "J-17 another aud": audience,
    "J-18 another iss": issuer,
    "J-19 no fit sub": subject,
    "J-20 an ID token or a security event": another_kind,
    "J-21 a call token of our own": our_own,
    "J-31 cnf without a proof": bound_to_a_key,
    "J-32 act or may_act that is none": actors,
    "I-06 a claim of another type": other_types,
}

DENIED: Final[Mapping[str, Make]] = {
    "may_act names somebody else": another_actor,
}
"""Of tokens that are good and say that this caller may not act: the one refusal for which nobody needs another token."""
