"""Whatever the configuration says and whoever calls: the promises about the claims of a call token."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.caller import Caller, Channel
from counterseal.core.claim_operations import ClaimOperations, Named, Valued
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.frozen import freeze
from counterseal.core.names import RESERVED
from counterseal.core.origins import Origins
from counterseal.core.pairwise import Pairwise
from counterseal.core.paths import at, has
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Allowed, ClaimsRefused, Denial
from counterseal.core.policy import Policy, Rule
from counterseal.core.profiles import COUNTERSEAL, PROFILES, Profile
from counterseal.core.requirements import Required
from counterseal.core.scope import AllowedScopes, decode_name
from counterseal.core.sources import UnfitSubject
from counterseal.core.templates import compile_value
from tests.core.callers import call

NAMES: Final = ("a", "b", "c", "tenant", "email", "https://example.com/x")
"""Of claims that operations write, so that they meet each other."""

_name = st.sampled_from(NAMES)
_path = st.lists(_name, min_size=1, max_size=2).map(tuple)
_nasty = st.sampled_from(
    ["\r\nX-Injected: 1", "a b", 'a"b', "a\\b", "\0", "\u202e", "x mcp:tools/list", "{claim.a}", "%s", "admin"]
)
_said = st.text(max_size=6) | _nasty
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | _said,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_name, inner, max_size=3),
    max_leaves=6,
)
_templates = st.sampled_from(
    [
        "{claim.a}",
        "{claim.a|}",
        "{claim.b|none}",
        "{key.metadata.a|x}",
        "{caller.subject}",
        "{caller.subject|nobody}",
        "{caller.roles|}",
        "{call.method}",
        "{call.name|-}",
        "{claim.c:int|0}",
        "<{call.name|}> {claim.a|}",
        "{claim.scope|}",
        "{claim.act|}",
    ]
)
_static = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.sampled_from(["x", "y z", ""]) | _templates,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_name, inner, max_size=2),
    max_leaves=4,
)
_fields = st.dictionaries(st.sampled_from(["user_id", "email", "team_id", "org_id", "agent_id", "end_user_id"]), _said)
_claims = st.dictionaries(st.sampled_from([*NAMES, *sorted(RESERVED), "roles"]), _json, max_size=8)


@st.composite
def callers(draw: st.DrawFn) -> Caller:
    """Anybody whom identity could let in: its own checks are looser here than they are."""
    kind = draw(st.sampled_from(["api_key", "token", "anonymous"]))
    if kind == "anonymous":
        return Caller(kind="anonymous", client_id="anonymous")
    is_token = kind == "token"
    subject = draw(st.text("abé", min_size=1, max_size=5))
    return Caller(
        kind=kind,
        client_id=draw(st.sampled_from(["k123", "ide", subject])),
        issuer="https://idp" if is_token else None,
        subject=subject,
        claims=freeze(draw(_claims)) if is_token else {},
        fields=draw(_fields),
        roles=tuple(draw(st.lists(_said, max_size=2))) if is_token else (),
        metadata={} if is_token else draw(st.dictionaries(_name, _said, max_size=3)),
        act=freeze({"sub": "inner"}) if is_token and draw(st.booleans()) else None,
        channel=Channel(issuer="https://channels", subject="line-1") if draw(st.booleans()) else None,
        headers=draw(st.dictionaries(st.sampled_from(["x-user", "email"]), _said, max_size=2)),
    )


def _named(paths: list[tuple[str, ...]]) -> tuple[Named, ...]:
    return tuple(Named(path, f"x.{index}") for index, path in enumerate(paths))


_valued = st.lists(st.tuples(_path, _static), max_size=4, unique_by=lambda one: one[0]).map(
    lambda pairs: tuple(Valued(path, compile_value(value), "y") for path, value in pairs)
)
_operations = st.builds(
    ClaimOperations,
    passed=st.lists(_path, max_size=3, unique=True).map(_named),
    added=_valued,
    set=_valued,
    removed=st.lists(_path, max_size=2, unique=True).map(_named),
)
_signers = st.builds(
    SignerSettings,
    issuer=st.just("https://gateway.example.com"),
    audience=st.just("https://weather.internal/mcp"),
    algorithm=st.just("ES256"),
    ttl_seconds=st.integers(1, 900),
    end_user_claim_sources=st.lists(
        st.sampled_from(["sub", "email", "user_id", "claim:a", "header:x-user", "key:email", "a.b"]), unique=True
    ).map(tuple),
    server=st.just("weather"),
    mode=st.sampled_from(["sign", "sign", "sign", "verify_and_resign"]),
    profile=st.sampled_from(list(PROFILES.values())),
    pairwise=st.none() | st.just(Pairwise(bytes(32), "weather")),
    required=st.sampled_from([(), (), (), (Required(("a",)),)]),
    operations=_operations,
)
_tools = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | _nasty
_cases = settings(max_examples=200, deadline=None)
NOW: Final = 1_800_000_000


def built(caller: Caller, signer: SignerSettings, tool: str, origins: Origins | None = None) -> dict[str, Any] | None:
    """The claims; None where the call is refused for one of the reasons that there are."""
    asked = call(name=tool, arguments={"city": "Oslo"})
    try:
        return build_claims(caller, asked, signer, now=NOW, jti="J", txn="T", origins=origins)
    except (ClaimsRefused, UnfitSubject):
        return None


@_cases
@given(callers(), _signers, _tools)
def test_reserved_claims_are_what_the_gateway_put_there(caller: Caller, signer: SignerSettings, tool: str) -> None:
    """S9, I-04, I-12: those of a signer without any operation, whatever the caller's own claims are called."""
    claims = built(caller, signer, tool)
    if claims is None:
        return
    plain = SignerSettings(
        signer.issuer,
        signer.audience,
        "ES256",
        signer.ttl_seconds,
        signer.end_user_claim_sources,
        profile=signer.profile,
        pairwise=signer.pairwise,
    )
    expected = built(caller, plain, tool)
    assert expected is not None
    assert {name: claims[name] for name in RESERVED & claims.keys()} == {
        name: expected[name] for name in RESERVED & expected.keys()
    }
    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == (
        signer.issuer,
        signer.audience,
        signer.ttl_seconds,
    )
    assert claims.keys() - RESERVED <= {*NAMES, *signer.profile.fields}


def tool_of(scope: str, profile: Profile) -> str:
    """Which tool a scope is for, read back by hand."""
    if profile is COUNTERSEAL:
        (only,) = scope.split(" ")
        return decode_name(only.removeprefix("mcp:tools/call:"))
    first, second = scope.split(" ")
    assert first == "mcp:tools/call"
    assert second.startswith("mcp:tools/")
    assert second.endswith(":call")
    return decode_name(second.removeprefix("mcp:tools/").removesuffix(":call"))


@_cases
@given(callers(), _signers, _tools)
def test_s2_a_token_holds_the_scope_of_its_one_operation(caller: Caller, signer: SignerSettings, tool: str) -> None:
    """S-01, S-02: nothing that a caller says or sends adds one."""
    claims = built(caller, signer, tool)
    if claims is not None:
        assert tool_of(claims["scope"], signer.profile) == tool
        assert claims["authorization_details"][0]["identifier"] == tool


_patterns = st.lists(
    st.sampled_from(["mcp:*", "mcp:tools/call:*", "mcp:tools/call", "*:call", "mcp:tools/list", "*a*"])
)


@_cases
@given(_patterns, _tools, st.sampled_from(list(PROFILES.values())))
def test_a_token_never_holds_a_scope_that_was_not_permitted(scopes: list[str], tool: str, profile: Profile) -> None:
    """FR-10: the decision and the token name scopes by the same table."""
    caller = Caller(kind="api_key", client_id="k")
    allowed = {"weather": AllowedScopes(Patterns.of(scopes), profile.scope_of)}
    policy = Policy((Rule("all", permits=True),), {}, allowed)
    decided = policy.decide(caller, call(name=tool))
    signer = SignerSettings("i", "a", "ES256", 60, ("user_id",), profile=profile)
    claims = built(caller, signer, tool)
    assert claims is not None
    held = all(Patterns.of(scopes).match(scope) for scope in claims["scope"].split(" "))
    assert isinstance(decided, Allowed) is held
    assert isinstance(decided, Denial) is not held


@_cases
@given(callers(), _signers, _tools)
def test_explaining_makes_the_claims_that_minting_makes_and_says_where_each_is_from(
    caller: Caller, signer: SignerSettings, tool: str
) -> None:
    origins = Origins()
    explained = built(caller, signer, tool, origins)
    assert explained == built(caller, signer, tool)
    if explained is None:
        return
    assert {path[0] for path in origins} == explained.keys() or _emptied(origins, explained)
    assert all(has(explained, path) for path in origins)


def _emptied(origins: Origins, claims: dict[str, Any]) -> bool:
    """What is left of an object whose last part was taken away came from nobody."""
    return all(claims[name] == {} for name in claims.keys() - {path[0] for path in origins})


@_cases
@given(callers(), _signers, _tools)
def test_i_05_no_value_of_a_caller_holds_what_ends_a_line(caller: Caller, signer: SignerSettings, tool: str) -> None:
    """However it got there, in any part of a claim but the name that is bound."""
    claims = built(caller, signer, tool)
    if claims is None:
        return
    del claims["authorization_details"], claims["act"]
    for text in _texts(claims):
        assert "\n" not in text
        assert "\r" not in text
        assert "\0" not in text
        assert "\u202e" not in text
    json.dumps(claims).encode("ascii")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    return [text for one in value for text in _texts(one)] if isinstance(value, list) else []


@_cases
@given(callers(), _signers, _tools)
def test_the_operations_run_in_their_order(caller: Caller, signer: SignerSettings, tool: str) -> None:
    """What is removed is gone; what is set is there as it was set; what is added is there if nothing was."""
    claims = built(caller, signer, tool)
    if claims is None:
        return
    operations, asked = signer.operations, call(name=tool)
    removed = [one.path for one in operations.removed]
    assert not any(has(claims, path) for path in removed)
    if removed:
        return
    last = {one.path: one for one in operations.set}
    for path, one in last.items():
        touched = [
            other for other in last if other != path and (other[: len(path)] == path or path[: len(other)] == other)
        ]
        if not touched:
            assert at(claims, path) == one.make(caller, asked)
    assert all(has(claims, one.path) or _overwritten(one.path, last) for one in operations.added)


def _overwritten(path: tuple[str, ...], last: Any) -> bool:
    return any(path[: len(other)] == other for other in last)


@_cases
@given(callers(), _signers, _tools)
def test_i_09_two_calls_share_nothing_and_change_nobody(caller: Caller, signer: SignerSettings, tool: str) -> None:
    before = repr(caller)
    claims = built(caller, signer, tool)
    if claims is None:
        return
    _spoil(claims)
    again = built(caller, signer, tool)
    assert again is not None
    assert "forged" not in str(again)
    assert repr(caller) == before


def _spoil(value: Any) -> None:
    if isinstance(value, dict):
        for one in value.values():
            _spoil(one)
        value["forged"] = "forged"
    elif isinstance(value, list):
        for one in value:
            _spoil(one)
        value.append("forged")
