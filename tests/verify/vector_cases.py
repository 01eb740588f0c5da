"""The test vectors: what is accepted, and at least one refusal for each reason. `write_vectors` writes them down."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from tests.support.tokens import ABSENT, ASYMMETRIC, AUDIENCE, ISSUER, NOW, digest, encode
from tests.verify import vector_keys as keys
from tests.verify.vector_making import CITY, FORECAST, Vector, claims, header, jwks, refused, signed, text

OTHER: Final = {**FORECAST, "name": "delete_all"}
LIST: Final[dict[str, Any]] = {"method": "tools/list"}


NUMBERS: Final = [
    *(0.1, 0.30000000000000004, 4.5, 2e-3, 1e-6, 1e-7, 1e-27, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308),
    *(1e20, 1e21, 1e23, 9.999999999999997e22, 295147905179352830000.0, 9007199254740994.0, 1424953923781206.2),
    *(333333333.33333329, 1 / 3, 100.0, -1.5, -0.0, 8.41e21, 9.5e-7, 5e-324 * 3, 123456789012345680.0),
]


def accepted() -> Iterator[Vector]:
    yield from accepted_algorithms()
    yield from accepted_calls()
    yield from accepted_arguments()
    yield from accepted_edges()


def accepted_algorithms() -> Iterator[Vector]:
    for algorithm in (*ASYMMETRIC, keys.ML_DSA):
        about = f"A good call token that is signed with {algorithm}."
        made = {"token": signed(algorithm=algorithm), "keys": jwks(keys.public(algorithm))}
        yield Vector(f"accept-{algorithm.lower()}", about, **made)
    among = jwks(keys.public("RS256"), keys.public("ES256"), keys.public("Ed25519"))
    yield Vector("accept-key-by-kid", "Of several keys the `kid` names the one.", signed(), keys=among)
    alone = jwks(keys.public("RS256"), keys.public("ES256"))
    no_kid = signed(head=header(kid=ABSENT))
    yield Vector("accept-no-kid", "Without a `kid` the only key that fits the algorithm is taken.", no_kid, keys=alone)
    for name, other in (("Ed25519", "EdDSA"), ("EdDSA", "Ed25519")):
        about = f"{other} is another name of what the key calls {name}."
        named = signed(head=header(other, kid=name), algorithm=other)
        yield Vector(f"accept-{other.lower()}-of-an-{name.lower()}-key", about, named, keys=jwks(keys.public(name)))
    strange = jwks({"kty": "XYZ", "kid": "future"}, {"kty": "oct", "k": "AAAA"}, keys.public("ES256"))
    yield Vector(
        "accept-strange-keys-beside", "Keys of an unknown kind cost the good ones nothing.", signed(), keys=strange
    )
    raw = signed()
    body, _, mark = raw.rpartition(".")
    yield Vector(
        "accept-high-s",
        "An ECDSA signature with the other `s` is as good (RFC 7518 sets no rule).",
        body + "." + high_s(mark),
    )


def high_s(mark: str) -> str:
    raw = keys.decoded(mark)
    other = keys.ORDER - int.from_bytes(raw[32:], "big")
    return keys.encoded(raw[:32] + other.to_bytes(32, "big"))


def accepted_calls() -> Iterator[Vector]:
    calls: dict[str, dict[str, Any]] = {
        "tools-list": LIST,
        "initialize": {"method": "initialize"},
        "notification": {"method": "notifications/initialized"},
        "prompt": {"method": "prompts/get", "name": "summary", "arguments": {"of": "all"}},
        "resource": {"method": "resources/read", "name": "file:///a%20b"},
        "completion": {"method": "completion/complete", "name": "summary"},
        "stream": {"method": "io.counterseal/stream"},
        "end-of-session": {"method": "io.counterseal/end-session"},
        "reply": {"method": "io.counterseal/reply"},
    }
    for name, call in calls.items():
        yield Vector(f"accept-{name}", f"A token for `{call['method']}`.", signed(claims(call)), call=call)
    for name, tool, scope in (
        ("space", "a b", "a%20b"),
        ("colon", "a:b", "a%3Ab"),
        ("percent", "a%20b", "a%2520b"),
        ("umlaut", "tägliches", "t%C3%A4gliches"),
        ("emoji", "\U0001f600", "%F0%9F%98%80"),
        ("unreserved", "a-b._~9Z", "a-b._~9Z"),
        ("marks", "a!'()*b", "a%21%27%28%29%2Ab"),
        ("slash", "a/b", "a%2Fb"),
        ("plus", "a+b", "a%2Bb"),
    ):
        call = {**FORECAST, "name": tool}
        made = signed(claims(call, scope=f"mcp:tools/call:{scope}"))
        yield Vector(f"accept-name-{name}", "In the scope the name of a tool is percent-encoded.", made, call=call)


def accepted_arguments() -> Iterator[Vector]:
    """RFC 8785: equal values, however they are written, have one digest."""
    same: dict[str, tuple[str, Any, Any]] = {
        "none": ("Without arguments the digest is that of {}.", None, {}),
        "empty": ("{} and no arguments are the same.", {}, {}),
        "order": ("The order of members does not count.", {"b": 1, "a": 2}, {"a": 2, "b": 1}),
        "utf-16-order": ("Names are sorted by UTF-16 units.", {"\ufb33": 1, "\U0001f600": 2, "a": 3}, None),
        "fraction": ("1.0 is 1.", {"n": 1.0}, {"n": 1}),
        "negative-zero": ("-0.0 is 0.", {"n": -0.0}, {"n": 0}),
        "exponent": ("1e21 keeps its exponent, 1e20 does not.", {"a": 1e20, "b": 1e21}, None),
        "small": ("Small numbers have an exponent from 1e-7 on.", {"a": 0.000001, "b": 0.0000001}, None),
        "escapes": ("Control characters are escaped, a slash is not.", {"t": '\u000f\n/\\"\u2028'}, None),
        "not-normalized": ("Text is not normalized: this e has its accent apart.", {"t": "e\u0301"}, None),
        "nested": ("At any depth.", {"a": [{"d": None, "c": [True, False, []]}]}, None),
        "numbers": ("Doubles as ECMAScript writes them, the shortest that reads back.", {"n": NUMBERS}, None),
        "names": (
            "Names in the order of their UTF-16 units, the empty one and those of controls too.",
            dict.fromkeys(("\u20ac", "\r", "1", "\U0001f600", "\u0080", "\u00f6", "\ufb33", "", "a", "10"), 0),
            None,
        ),
        "names-of-objects": (
            "Names that objects of some languages have of themselves.",
            {"__proto__": {"a": 1}, "constructor": 2, "toString": 3, "toJSON": 4, "length": 5},
            None,
        ),
        "controls": (
            "Controls as RFC 8785 escapes them; DEL and what is no character stay.",
            {"t": "".join(map(chr, range(32))) + "\u007f\u0085\ufeff\ufffe\uffff\U0010ffff"},
            None,
        ),
        "markup": ("No characters of HTML are escaped.", {"t": "<a href='x'>&amp;</a>"}, None),
        "greatest-integer": ("2^53 - 1 is an integer that every reader has.", {"n": 2**53 - 1}, None),
    }
    for name, (about, arguments, digested) in same.items():
        call = {**FORECAST, "arguments": arguments}
        if arguments is None:
            del call["arguments"]
        made = claims(call, details={"arguments_digest": digest(digested if digested is not None else arguments)})
        yield Vector(f"accept-arguments-{name}", about, signed(made), call=call)


def accepted_edges() -> Iterator[Vector]:
    past = {"iat": NOW - 90, "nbf": NOW - 90}
    chain = {"sub": "a", "act": {"client_id": "b", "act": {"sub": "c", "act": {"sub": "d"}}}}
    usual = text(claims())
    members = len(claims()) + len(claims()["act"]) + 1 + len(claims()["authorization_details"][0]) + 2
    for name, (about, made) in {
        "typ-case": ("The case of `typ` does not count.", signed(head=header(typ="AT+JWT"))),
        "typ-long": ("Nor does the prefix `application/`.", signed(head=header(typ="application/at+jwt"))),
        "header-x5t": ("A header that nothing depends on is passed over.", signed(head=header(x5t="AAAA"))),
        "just-alive": ("The leeway is 30 seconds: `exp` was 29 seconds ago.", signed(claims(**past, exp=NOW - 29))),
        "just-valid": ("`nbf` and `iat` in 30 seconds.", signed(claims(iat=NOW + 30, nbf=NOW + 30, exp=NOW + 60))),
        "fractions": ("Times may have fractions.", signed(claims(iat=NOW - 0.5, nbf=NOW - 0.5, exp=NOW + 59.5))),
        "longest-life": ("A life of 900 seconds.", signed(claims(exp=NOW + 900))),
        "no-nbf": ("`nbf` may be missing.", signed(claims(nbf=ABSENT))),
        "chain": ("A chain of four actors, by `sub` or by `client_id`.", signed(claims(act=chain))),
        "chain-null": ("null ends a chain.", signed(claims(act={"sub": "a", "act": None}))),
        "longest-subject": ("255 characters of any script.", signed(claims(sub="\u00e9" * 255))),
        "more-claims": ("Claims that nobody asked for.", signed(claims(email="alice@example.com", groups=["a"]))),
        "exponent": ("A time with an exponent.", signed(usual.replace(b"1800000060", b"1.80000006E9"))),
        "big-integer-claim": ("An integer that doubles don't have, where nobody looks.", signed(claims(more=2**70))),
        "deepest": ("Nested 16 deep.", signed(usual[:-1] + b',"more":' + b"[" * 15 + b"]" * 15 + b"}")),
        "widest": ("256 members.", signed(claims(more=[0] * (256 - members - 1)))),
    }.items():
        yield Vector(f"accept-{name}", about, made)
    unbound = signed(claims(details={"arguments_digest": ABSENT}))
    about = "Where the verifier was told that the gateway binds no arguments, none are asked for."
    yield Vector("accept-unbound", about, unbound, options={"require_arguments": False})
    asked = {"required_claims": {"email": None, "tenant.tier": ["gold", "silver"]}}
    good = signed(claims(email="alice@example.com", tenant={"tier": "gold"}))
    yield Vector("accept-required-claims", "Claims that this server asks for, one of them nested.", good, options=asked)
    tried = {"call": OTHER, "token": signed()}
    about = "A token that was presented for another call before is not used up by that."
    yield Vector("accept-after-another-call", about, signed(), after=(tried,))
    used = {"call": FORECAST, "token": signed(claims(jti="another"))}
    yield Vector("accept-after-another-token", "Another token was used for the same call.", signed(), after=(used,))


def about_claims() -> Iterator[Vector]:
    weather = AUDIENCE
    yield from refused(
        "issuer",
        {
            "another": ("Another issuer, with a sound signature.", signed(claims(iss="https://other.example"))),
            "slash": ("A slash at the end.", signed(claims(iss=ISSUER + "/"))),
            "case": ("Upper case.", signed(claims(iss="https://Gateway.example.com"))),
            "missing": ("No `iss`.", signed(claims(iss=ABSENT))),
            "list": ("A list with the issuer in it.", signed(claims(iss=[ISSUER]))),
        },
    )
    yield from refused(
        "audience",
        {
            "another": ("Another server's token.", signed(claims(aud="https://files.example.com/mcp"))),
            "slash": ("A slash at the end.", signed(claims(aud=weather + "/"))),
            "default-port": ("The default port.", signed(claims(aud=weather.replace(".com/", ".com:443/")))),
            "host-case": ("Upper case in the host.", signed(claims(aud=weather.replace("weather", "Weather")))),
            "path": ("Another path.", signed(claims(aud=weather + "/v2"))),
            "prefix": ("Only the beginning.", signed(claims(aud="https://weather.example.com"))),
            "scheme": ("http for https.", signed(claims(aud=weather.replace("https", "http")))),
            "list": ("A list, even with this one alone: a call token has one audience.", signed(claims(aud=[weather]))),
            "missing": ("No `aud`.", signed(claims(aud=ABSENT))),
            "issuer": ("The issuer itself.", signed(claims(aud=ISSUER))),
        },
    )
    yield from refused(
        "typ",
        {
            "jwt": ("`JWT`: any kind of token.", signed(head=header(typ="JWT"))),
            "missing": ("No `typ`.", signed(head=header(typ=ABSENT))),
            "logout": ("A logout token.", signed(head=header(typ="logout+jwt"))),
            "event": ("A security event (RFC 8417) in the clothes of an access token.", signed(claims(events={}))),
        },
    )
    yield from refused(
        "subject",
        {
            "missing": ("No `sub`.", signed(claims(sub=ABSENT))),
            "empty": ("An empty one.", signed(claims(sub=""))),
            "number": ("A number.", signed(claims(sub=7))),
            "long": ("256 characters.", signed(claims(sub="x" * 256))),
            "newline": ("A line break in it.", signed(claims(sub="alice\nroot"))),
            "bidi": ("A character that turns the writing around.", signed(claims(sub="ali\u202ece"))),
            "zero-width": ("A character without width.", signed(claims(sub="ali\u200bce"))),
        },
    )
    bound = signed(claims(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}))
    yield from refused("confirmation", {"jkt": ("Bound to a key (`cnf`), without its proof.", bound)})
    asked = {"required_claims": {"tenant.tier": ["gold"]}}
    yield from refused(
        "claim",
        {
            "client-id": ("No `client_id`.", signed(claims(client_id=ABSENT))),
            "jti": ("No `jti`.", signed(claims(jti=ABSENT))),
            "jti-empty": ("An empty `jti`.", signed(claims(jti=""))),
            "jti-long": ("A `jti` of 256 characters.", signed(claims(jti="x" * 256))),
            "txn": ("`txn` is a number.", signed(claims(txn=1))),
            "required": ("A claim that this server asks for is missing.", {"token": signed(), "options": asked}),
            "required-other": (
                "It says something else.",
                {"token": signed(claims(tenant={"tier": "free"})), "options": asked},
            ),
        },
    )
    deep = {"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d", "act": {"sub": "e"}}}}}
    yield from refused(
        "actor",
        {
            "missing": ("No `act`.", signed(claims(act=ABSENT))),
            "text": ("A text.", signed(claims(act="planner"))),
            "nameless": ("Nobody is named.", signed(claims(act={"iss": ISSUER}))),
            "nested-text": ("The next one is a text.", signed(claims(act={"sub": "a", "act": "b"}))),
            "null": (
                "A `sub` that is null, beside a `client_id`.",
                signed(claims(act={"sub": None, "client_id": "b"})),
            ),
            "empty": ("An empty name.", signed(claims(act={"sub": ""}))),
            "deep": ("Five actors.", signed(claims(act=deep))),
        },
    )


def about_times() -> Iterator[Vector]:
    yield from refused(
        "time",
        {
            "exp-missing": ("No `exp`.", signed(claims(exp=ABSENT))),
            "exp-null": ("null.", signed(claims(exp=None))),
            "exp-text": ("A text.", signed(claims(exp=str(NOW + 60)))),
            "exp-true": ("A boolean.", signed(claims(exp=True))),
            "exp-negative": ("Before 1970.", signed(claims(exp=-1))),
            "exp-far": ("After the year 9999.", signed(claims(exp=253402300800))),
            "nbf-text": ("`nbf` is a text.", signed(claims(nbf="now"))),
            "iat-list": ("`iat` is a list.", signed(claims(iat=[NOW]))),
        },
    )
    past = {"iat": NOW - 90, "nbf": NOW - 90}
    yield from refused(
        "expired",
        {
            "at-the-end": ("`exp` was 30 seconds ago, the leeway included.", signed(claims(**past, exp=NOW - 30))),
            "later": ("The same token as in many vectors, an hour later.", {"token": signed(), "now": NOW + 3600}),
            "at-once": ("`exp` is `iat`.", signed(claims(iat=NOW - 31, nbf=NOW - 31, exp=NOW - 31))),
        },
    )
    yield from refused(
        "not_yet_valid",
        {
            "nbf": ("`nbf` in 31 seconds.", signed(claims(nbf=NOW + 31))),
            "iat": ("`iat` in 31 seconds.", signed(claims(iat=NOW + 31))),
            "earlier": ("The same token as in many vectors, an hour before.", {"token": signed(), "now": NOW - 3600}),
        },
    )
    yield from refused(
        "lifetime",
        {
            "long": ("A life of 901 seconds.", signed(claims(exp=NOW + 901))),
            "iat-missing": ("No `iat`: nobody can tell how long it lives.", signed(claims(iat=ABSENT))),
            "nbf-after-exp": ("`nbf` after `exp`.", signed(claims(nbf=NOW + 20, exp=NOW + 10))),
            "iat-after-exp": ("`iat` after `exp`.", signed(claims(iat=NOW + 20, exp=NOW + 10))),
        },
    )


def about_the_call() -> Iterator[Vector]:
    yield from refused(
        "scope",
        {
            "another-tool": ("A token for another tool.", signed(claims(OTHER))),
            "a-list": ("A token for `tools/list`.", signed(claims(LIST))),
            "for-a-list": ("A token for a tool, to list tools.", {"token": signed(), "call": LIST}),
            "another-method": (
                "A token for a tool, for a prompt of its name.",
                {
                    "token": signed(),
                    "call": {**FORECAST, "method": "prompts/get"},
                },
            ),
            "two": ("Two scopes.", signed(claims(scope="mcp:tools/call:get_forecast mcp:tools/list"))),
            "list": ("A list.", signed(claims(scope=["mcp:tools/call:get_forecast"]))),
            "missing": ("No `scope`.", signed(claims(scope=ABSENT))),
            "case": ("Upper case.", signed(claims(scope="mcp:tools/call:Get_forecast"))),
            "not-encoded": (
                "A name that is not percent-encoded.",
                {
                    "token": signed(claims({**FORECAST, "name": "a:b"}, scope="mcp:tools/call:a:b")),
                    "call": {**FORECAST, "name": "a:b"},
                },
            ),
            "plus-for-blank": (
                "A plus for a blank, as forms have it.",
                {
                    "token": signed(claims({**FORECAST, "name": "a b"}, scope="mcp:tools/call:a+b")),
                    "call": {**FORECAST, "name": "a b"},
                },
            ),
            "lower-hex": (
                "Percent-encoded in lower case.",
                {
                    "token": signed(claims({**FORECAST, "name": "a:b"}, scope="mcp:tools/call:a%3ab")),
                    "call": {**FORECAST, "name": "a:b"},
                },
            ),
        },
    )
    (bound,) = claims()["authorization_details"]
    listed = signed(claims(LIST, details={"identifier": "get_forecast"}))
    yield from refused(
        "operation",
        {
            "missing": ("No `authorization_details`.", signed(claims(authorization_details=ABSENT))),
            "object": ("An object for the list.", signed(claims(authorization_details=bound))),
            "two": ("Two of them.", signed(claims(authorization_details=[bound, bound]))),
            "type": ("Another type.", signed(claims(details={"type": "payment"}))),
            "member": ("A member that nobody knows.", signed(claims(details={"limit": 1}))),
            "location": ("Another server's.", signed(claims(details={"locations": ["https://files.example.com/mcp"]}))),
            "locations": ("Two servers.", signed(claims(details={"locations": [AUDIENCE, "https://x.example"]}))),
            "action": ("Another method.", signed(claims(details={"actions": ["tools/list"]}))),
            "actions": ("Two methods.", signed(claims(details={"actions": ["tools/call", "tools/list"]}))),
            "identifier": ("Another tool.", signed(claims(details={"identifier": "delete_all"}))),
            "no-identifier": ("No tool.", signed(claims(details={"identifier": ABSENT}))),
            "needless-identifier": ("A name for a method that names nothing.", {"token": listed, "call": LIST}),
        },
    )
    yield from about_arguments()


def about_arguments() -> Iterator[Vector]:
    def called(arguments: Any, **changes: Any) -> dict[str, Any]:
        return {"token": signed(claims(**changes)), "call": {**FORECAST, "arguments": arguments}}

    def digested(text: str) -> dict[str, Any]:
        """A digest of a text that is not the canonical form."""
        return {"arguments_digest": "sha-256:" + encode(hashlib.sha256(text.encode()).digest())}

    big = {"n": 2**53 + 1}
    listed = signed(claims(LIST, details={"arguments_digest": digest({})}))
    yield from refused(
        "arguments",
        {
            "others": ("A token for other arguments.", called({"city": "Bergen"})),
            "one-more": ("One member more.", called({**CITY, "days": 3})),
            "none": ("No arguments.", {"token": signed(), "call": {"method": "tools/call", "name": "get_forecast"}}),
            "case": ("Upper case in the name of a member.", called({"City": "Oslo"})),
            "type": (
                "A number for a text.",
                {
                    "token": signed(claims({**FORECAST, "arguments": {"n": "1"}})),
                    "call": {**FORECAST, "arguments": {"n": 1}},
                },
            ),
            "null": (
                "null for nothing.",
                {
                    "token": signed(claims({**FORECAST, "arguments": {}})),
                    "call": {**FORECAST, "arguments": {"city": None}},
                },
            ),
            "normalized": (
                "An accent apart from its letter is another text.",
                {
                    "token": signed(claims({**FORECAST, "arguments": {"t": "\u00e9"}})),
                    "call": {**FORECAST, "arguments": {"t": "e\u0301"}},
                },
            ),
            "unbound": ("No digest.", signed(claims(details={"arguments_digest": ABSENT}))),
            "unprefixed": (
                "The digest without `sha-256:`.",
                signed(claims(details={"arguments_digest": digest(CITY)[8:]})),
            ),
            "padded": ("A padded digest.", signed(claims(details={"arguments_digest": digest(CITY) + "="}))),
            "big-integer": (
                "An integer that not every reader keeps has no canonical form.",
                {
                    "token": signed(claims(details={"arguments_digest": digest({"n": 2.0**53})})),
                    "call": {**FORECAST, "arguments": big},
                },
            ),
            **{
                name: (about, called({"n": number}, details={"arguments_digest": digest({"n": float(number)})}))
                for name, about, number in (
                    ("two-to-the-53", "2^53 is the first integer that is refused.", 2**53),
                    ("two-to-the-53-negative", "So it is below zero.", -(2**53)),
                    ("two-to-the-64", "An integer that no machine word holds.", 2**64),
                    ("two-to-the-63-negative", "The one integer of 64 bits whose amount is none.", -(2**63)),
                    ("digits", "1e20 has a canonical form; the same number in digits has none.", 10**20),
                )
            },
            "not-shortest": (
                "A digest of 1.0, which is not the canonical spelling.",
                called({"n": 1.0}, details=digested('{"n":1.0}')),
            ),
            "code-point-order": (
                "A digest of names in the order of their code points.",
                called({"\ufb33": 1, "\U0001f600": 2}, details=digested('{"\ufb33":1,"\U0001f600":2}')),
            ),
            "ascii": (
                "A digest of text that is escaped as ASCII.",
                called({"t": "\u00e9"}, details=digested('{"t":"\\u00e9"}')),
            ),
            "needless": ("A digest for a method that has no arguments.", {"token": listed, "call": LIST}),
        },
    )


def about_state() -> Iterator[Vector]:
    used = {"call": FORECAST, "token": signed()}
    same_id = {"call": OTHER, "token": signed(claims(OTHER))}
    yield from refused(
        "replayed",
        {
            "twice": ("The token was used before.", {"token": signed(), "after": (used,)}),
            "thrice": ("A refusal does not make it new.", {"token": signed(), "after": (used, used)}),
            "same-jti": ("Another token with the same `jti`.", {"token": signed(), "after": (same_id,)}),
            "late": ("Within the leeway after its end.", {"token": signed(), "after": (used,), "now": NOW + 80}),
        },
    )
    yield from refused(
        "unavailable",
        {
            "keys": (
                "The gateway's keys cannot be had: no refusal, because the token may be good.",
                {
                    "token": signed(),
                    "keys": None,
                },
            ),
        },
    )
