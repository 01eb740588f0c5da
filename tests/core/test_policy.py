"""May this caller make this call? First denial, then first permit, else no."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterable
from typing import Any, Final

import pytest

from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.methods import METHODS, Kind
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Allowed, Denial
from counterseal.core.policy import CALLER_FIELDS, Policy, Rule
from counterseal.core.scope import AllowedScopes, scope_of
from tests.core.callers import anonymous, call, key, token

OPEN: Final = [row.name for row in METHODS.values() if row.kind is Kind.OPEN]
CLOSED: Final = [row.name for row in METHODS.values() if row.kind is not Kind.OPEN]


def rule(permits: bool, label: str = "rule", callers: dict[str, list[str]] | None = None, **asks: list[str]) -> Rule:
    return Rule(
        label,
        permits,
        callers=tuple((field, Patterns.of(texts)) for field, texts in (callers or {}).items()),
        **{field: Patterns.of(texts) for field, texts in asks.items()},
    )


def permit(label: str = "permit", **asks: Any) -> Rule:
    return rule(True, label, **asks)


def deny(label: str = "deny", **asks: Any) -> Rule:
    return rule(False, label, **asks)


def policy(*rules: Rule, allowed_tools: dict[str, list[str]] | None = None) -> Policy:
    return Policy(rules, {server: Patterns.of(tools) for server, tools in (allowed_tools or {}).items()})


def allows(decided: Allowed | Denial) -> bool:
    return isinstance(decided, Allowed)


def may(rules: Policy, tool: str, caller: Caller | None = None, server: str = "weather") -> bool:
    return allows(rules.decide(caller or key(), call(name=tool, server=server)))


def may_use(rules: Policy, method: str, name: str | None = "n", caller: Caller | None = None) -> bool:
    params = {"ref": {"type": "ref/prompt", "name": "n"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return allows(rules.decide(caller or key(), call(method, name, message=message)))


# ---- default deny and the order of rules ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("caller", [key(), token(), anonymous()])
def test_without_a_rule_that_permits_everything_is_denied(method: str, caller: Caller) -> None:
    """P-05: no rules, or denials alone; also what any caller needs to speak at all."""
    assert may_use(policy(permit()), method, caller=caller)
    for rules in (policy(), policy(deny(tools=["other"])), policy(deny(servers=["other"]))):
        decided = rules.decide(caller, call(method, "n", message={"params": {"ref": {}}}))
        assert isinstance(decided, Denial)
        assert (decided.reason, decided.rule) == ("policy_denied", "default")


def test_a_method_that_nobody_knows_is_no_open_one() -> None:
    rules = policy(permit(tools=["*"]))
    assert may(rules, "a")
    assert not may_use(rules, "tools/delete")
    assert may_use(policy(permit()), "tools/delete")


def test_a_denial_wins_wherever_it_stands() -> None:
    for rules in ([permit(), deny(tools=["a"])], [deny(tools=["a"]), permit()]):
        assert not may(policy(*rules), "a")
        assert may(policy(*rules), "b")


def test_the_first_denial_and_the_first_permit_are_named() -> None:
    rules = policy(
        permit("p0", tools=["c"]),
        deny("d1", tools=["b"]),
        deny("d2", tools=["b*"]),
        permit("p3", tools=["a*"]),
        permit("p4"),
    )
    decided = {tool: rules.decide(key(), call(name=tool)) for tool in ("a", "b", "bb", "c", "x")}
    labels = {tool: found.rule for tool, found in decided.items()}
    assert labels == {"a": "p3", "b": "d1", "bb": "d2", "c": "p0", "x": "p4"}


def test_a_denial_says_what_was_denied_and_leaves_the_rule_to_the_record() -> None:
    denied = policy(permit(), deny("policy[1]", tools=["a"])).decide(key(), call(name="a"))
    assert denied == Denial("policy_denied", "tools/call 'a' on 'weather' is denied by the policy", "policy[1]")
    denied = policy().decide(key(), call("tools/list"))
    assert denied == Denial("policy_denied", "no policy rule permits tools/list on 'weather'", "default")


# ---- what rules select by ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", CALLER_FIELDS)
def test_a_rule_may_ask_for_every_field_of_a_caller(field: str) -> None:
    held = {"team_id": "team", "org_id": "org", "agent_id": "agent"}
    callers = {
        "kind": (token(), "token"),
        "key": (key(), "k123"),
        "client_id": (token(), "ide"),
        "issuer": (token(), "https://idp"),
        "subject": (token(), "alice"),
        "email": (token(fields={"email": "email"}), "email"),
        "team": (key(fields=held), "team"),
        "org": (key(fields=held), "org"),
        "agent": (token(fields=held), "agent"),
        "roles": (token(roles=("other", "role")), "role"),
        "groups": (token(groups=("group", "other")), "group"),
        "scopes": (token(scopes=("scope",)), "scope"),
    }
    assert callers.keys() == CALLER_FIELDS.keys()
    caller, value = callers[field]
    assert may(policy(permit(callers={field: [value]})), "a", caller)
    assert not may(policy(permit(callers={field: [value + "x"]})), "a", caller)
    assert not may(policy(permit(callers={field: [value.swapcase()]})), "a", caller)


def test_a_field_that_a_caller_does_not_have_is_matched_by_nothing() -> None:
    """I-07: not by `*` either, so a permit for every team is not one for callers without a team."""
    assert not may(policy(permit(callers={"team": ["*"]})), "a", key())
    assert may(policy(permit(), deny(callers={"team": ["*"]})), "a", key())
    assert not may(policy(permit(callers={"key": ["*"]})), "a", token())
    assert not may(policy(permit(callers={"email": ["*"]})), "a", token({"email": "a@b", "email_verified": False}))


@pytest.mark.parametrize("field", ["roles", "groups", "scopes"])
def test_of_several_values_one_that_matches_is_enough_to_permit_and_to_deny(field: str) -> None:
    held = token(**{field: ("reader", "admin")})
    assert may(policy(permit(callers={field: ["x", "adm*"]})), "a", held)
    assert not may(policy(permit(), deny(callers={field: ["adm*"]})), "a", held)
    assert not may(policy(permit(callers={field: ["reader admin", "reader,admin", "r"]})), "a", held)
    for nobody in (token(), key(), anonymous()):
        assert not may(policy(permit(callers={field: ["*"]})), "a", nobody)


def test_all_that_a_rule_asks_for_must_hold() -> None:
    rules = policy(permit(callers={"team": ["data"], "org": ["acme"]}, servers=["weather"], tools=["get_*"]))
    held = {"team_id": "data", "org_id": "acme"}
    assert may(rules, "get_a", key(fields=held))
    assert not may(rules, "set_a", key(fields=held))
    assert not may(rules, "get_a", key(fields=held), server="files")
    for missing in held:
        assert not may(rules, "get_a", key(fields={**held, missing: "other"}))


@pytest.mark.parametrize("field", ["servers", "tools", "methods"])
def test_a_rule_that_asks_for_none_of_nothing_selects_nothing(field: str) -> None:
    """S-09: an empty list is not a missing one."""
    assert not may(policy(permit(**{field: []})), "a")
    assert may(policy(permit(), deny(**{field: []})), "a")


@pytest.mark.parametrize(
    "name", ["xread_file", "read_file\n", "\nread_file", "Read_file", "READ_FILE", "read", "pread_"]
)
def test_s_05_patterns_are_anchored_and_case_sensitive(name: str) -> None:
    """S-05, S-06: on the raw name."""
    rules = policy(permit(tools=["read_fil*e"]))
    assert may(rules, "read_file")
    assert not may(rules, name)


@pytest.mark.parametrize(("denied", "other"), [("delete", "Delete"), ("k", "\u212a"), ("s", "\u017f"), ("a_b", "a.b")])
def test_s_06_names_are_compared_as_they_are(denied: str, other: str) -> None:
    """S-02, S-06: no folding of case, and nothing is replaced before it is compared."""
    rules = policy(permit(), deny(tools=[denied]))
    assert not may(rules, denied)
    assert may(rules, other)


# ---- tools, methods, both, neither ------------------------------------------------------------------------------------


def test_a_rule_with_tools_is_about_those_tools_alone() -> None:
    """M-23: permitting tools permits no prompts or resources; denying them denies none."""
    permitting, denying = policy(permit(tools=["*"])), policy(permit(), deny(tools=["*"]))
    assert may(permitting, "a")
    assert not may(denying, "a")
    for method in CLOSED:
        if method != "tools/call":
            assert not may_use(permitting, method)
            assert may_use(denying, method)


@pytest.mark.parametrize("method", CLOSED)
def test_a_rule_with_methods_is_about_those_methods(method: str) -> None:
    used = "prompts/get" if method == "completion/complete" else method
    assert may_use(policy(permit(methods=[used])), method)
    assert not may_use(policy(permit(methods=["tools/list"])), method)
    assert not may_use(policy(permit(), deny(methods=[method])), method)


def test_a_rule_with_both_is_about_the_tools_and_about_the_methods_as_named() -> None:
    rules = policy(permit(tools=["get_*"], methods=["tools/call", "prompts/get"]))
    assert may(rules, "get_a")
    assert not may(rules, "set_a")
    assert may_use(rules, "prompts/get", "set_a")
    assert not may_use(rules, "resources/read")
    assert not may(policy(permit(tools=["*"], methods=["prompts/get"])), "a")


@pytest.mark.parametrize("method", OPEN)
def test_what_has_no_effect_is_for_whoever_may_use_anything_on_the_server(method: str) -> None:
    for rules in (permit(tools=["a"]), permit(methods=["prompts/get"]), permit(), permit(servers=["weather"])):
        assert may_use(policy(rules), method, None)
    for rules in (permit(servers=["files"]), permit(callers={"team": ["data"]})):
        assert not may_use(policy(rules), method, None)


@pytest.mark.parametrize("method", OPEN)
def test_only_a_denial_that_names_it_or_everything_closes_an_open_method(method: str) -> None:
    assert may_use(policy(permit(), deny(tools=["*"])), method, None)
    assert may_use(policy(permit(), deny(tools=["*"], methods=["tools/call"])), method, None)
    assert not may_use(policy(permit(), deny(methods=[method])), method, None)
    assert not may_use(policy(permit(), deny()), method, None)
    assert not may_use(policy(permit(), deny(servers=["weather"])), method, None)


@pytest.mark.parametrize(("kind", "used"), [("ref/prompt", "prompts/get"), ("ref/resource", "resources/read")])
def test_a_completion_is_decided_as_using_what_it_is_for(kind: str, used: str) -> None:
    """M-23: it reveals what that would, and a denial of completions themselves holds too."""
    asked = call("completion/complete", "n", message={"params": {"ref": {"type": kind, "name": "n", "uri": "n"}}})
    other = "resources/read" if used == "prompts/get" else "prompts/get"

    def completes(*rules: Rule) -> bool:
        return allows(policy(*rules).decide(key(), asked))

    assert completes(permit(methods=[used]))
    assert not completes(permit(methods=[other, "completion/complete"]))
    assert not completes(permit(), deny(methods=[used]))
    assert completes(permit(), deny(methods=[other]))
    assert not completes(permit(), deny(methods=["completion/*"]))


# ---- the key's and the server's own restrictions ----------------------------------------------------------------------


def test_a_key_for_some_servers_sees_no_others() -> None:
    caller = key(servers=Patterns.of(["weather", "fil*"]))
    assert may(policy(permit()), "a", caller)
    assert may(policy(permit()), "a", caller, server="files")
    denied = policy(permit()).decide(caller, call(name="a", server="crm"))
    assert isinstance(denied, Denial)
    assert (denied.reason, denied.rule) == ("server_unknown", "key k123")
    assert not may(policy(permit()), "a", key(servers=Patterns.of([])))


@pytest.mark.parametrize("method", METHODS)
def test_a_keys_servers_hold_for_every_method(method: str) -> None:
    """P-02, M-23: also for lists, streams and notifications."""
    assert may_use(policy(permit()), method, caller=key(servers=Patterns.of(["weather"])))
    assert not may_use(policy(permit()), method, caller=key(servers=Patterns.of(["files"])))


def test_a_key_for_some_tools_calls_no_others() -> None:
    caller = key(tools=Patterns.of(["get_*"]))
    assert may(policy(permit()), "get_a", caller)
    denied = policy(permit()).decide(caller, call(name="set_a"))
    assert isinstance(denied, Denial)
    assert (denied.reason, denied.rule) == ("tool_not_allowed", "key k123")
    assert may_use(policy(permit()), "prompts/get", "set_a", caller)
    assert not may(policy(), "get_a", caller)


def test_allowed_tools_that_are_missing_restrict_nothing_and_empty_ones_allow_none() -> None:
    """S-09."""
    assert may(policy(permit()), "a")
    assert not may(policy(), "a")
    assert not may(policy(permit(), allowed_tools={"weather": []}), "a")
    assert not may(policy(permit(), allowed_tools={"weather": []}), "")
    some = policy(permit(), allowed_tools={"weather": ["a"], "files": []})
    assert may(some, "a")
    denied = some.decide(key(), call(name="b"))
    assert isinstance(denied, Denial)
    assert (denied.reason, denied.rule) == ("tool_not_allowed", "servers.weather.signer.allowed_tools")
    assert may(some, "b", server="crm")
    assert may_use(some, "prompts/get", "b")
    assert not may(policy(allowed_tools={"weather": ["a"]}), "a")


# ---- every policy of two rules ----------------------------------------------------------------------------------------

_TOOLS: Final = (None, (), ("a*",), ("b", "*c"))
_METHODS: Final = (None, (), ("tools/call",), ("tools/*", "prompts/get"))
_RULES: Final = tuple(itertools.product((True, False), _TOOLS, _METHODS))
_RESTRICTIONS: Final = (None, (), ("a*", "c"))
_NAMES: Final = ("a", "ab", "b", "bc", "c", "")

Asks = tuple[bool, tuple[str, ...] | None, tuple[str, ...] | None]


def _any(texts: Iterable[str] | None, name: str) -> bool:
    return texts is None or any(fnmatch.fnmatchcase(name, text) for text in texts)


def _expected(rules: Iterable[Asks], allowed: tuple[str, ...] | None, own: tuple[str, ...] | None, tool: str) -> bool:
    """The module's rules for `tools/call`, written another time and more simply."""
    covering = [permits for permits, tools, methods in rules if _any(tools, tool) and _any(methods, "tools/call")]
    return _any(allowed, tool) and _any(own, tool) and bool(covering) and all(covering)


def test_a_list_shows_exactly_the_tools_that_may_be_called() -> None:
    """S-08, S-09, P-05: over every policy of up to two rules, with every restriction of the server and of the key."""
    for rules in itertools.chain([()], ((one,) for one in _RULES), itertools.combinations_with_replacement(_RULES, 2)):
        compiled = tuple(
            rule(permits, **{k: list(v) for k, v in (("tools", tools), ("methods", methods)) if v is not None})
            for permits, tools, methods in rules
        )
        for allowed, own in itertools.product(_RESTRICTIONS, _RESTRICTIONS):
            decider = Policy(compiled, {} if allowed is None else {"weather": Patterns.of(allowed)})
            caller = key(tools=None if own is None else Patterns.of(own))
            called = {tool for tool in _NAMES if allows(decider.decide(caller, call(name=tool)))}
            shown = {tool for tool in _NAMES if allows(decider.decide_operation(caller, "weather", "tools/call", tool))}
            assert shown == called == {tool for tool in _NAMES if _expected(rules, allowed, own, tool)}
            if called:  # whoever may call one may ask for the list, unless a rule denies just that
                denied = any(not permits and _any(m, "tools/list") and (m or t is None) for permits, t, m in rules)
                assert allows(decider.decide(caller, call("tools/list"))) is not denied


def test_m_23_following_resources_is_decided_like_reading_them() -> None:
    """Whoever may only call tools may listen for changes of lists, and not for changes of resources."""
    rules = Policy((Rule("policy[0]", True, tools=Patterns.of(["get_*"])),), {})
    caller = Caller(kind="anonymous", client_id="anonymous")

    def listening(**wanted: object) -> Call:
        return Call(
            server="weather",
            era=Era.MODERN,
            revision="2026-07-28",
            shape=Shape.REQUEST,
            method="subscriptions/listen",
            id=1,
            message={"params": {"notifications": wanted}},
        )

    assert isinstance(rules.decide(caller, listening(toolsListChanged=True)), Allowed)
    assert isinstance(rules.decide(caller, listening(resourceSubscriptions=["file:///a"])), Denial)
    everything = Policy((Rule("policy[0]", True),), {})
    assert isinstance(everything.decide(caller, listening(resourceSubscriptions=["file:///a"])), Allowed)


@pytest.mark.parametrize("denied", ["resources/read", "resources/subscribe", "resources/*", "tools/call"])
@pytest.mark.parametrize("method", ["subscriptions/listen", "resources/subscribe", "resources/unsubscribe"])
def test_m_23_no_eras_way_to_follow_a_resource_leads_round_a_denial(method: str, denied: str) -> None:
    """What is denied is reading it, or following it by the way of one era; to stop following is never denied with it."""
    rules = Policy((Rule("policy[0]", True), Rule("policy[1]", False, methods=Patterns.of([denied]))), {})
    caller = Caller(kind="anonymous", client_id="anonymous")
    listens = method == "subscriptions/listen"
    message = {
        "params": {"notifications": {"resourceSubscriptions": ["file:///a"]}} if listens else {"uri": "file:///a"}
    }
    era = Era.MODERN if listens else Era.LEGACY
    asked = call(method, None if listens else "file:///a", era=era, message=message)
    follows = method != "resources/unsubscribe"
    meant = {"resources/*": True, "tools/call": False}.get(denied, follows)
    assert isinstance(rules.decide(caller, asked), Denial) is meant


# ---- the scopes that a call token may hold ----------------------------------------------------------------------------


def scoped(*scopes: str, rules: tuple[Rule, ...] = (permit(),)) -> Policy:
    return Policy(rules, {}, {"weather": AllowedScopes(Patterns.of(scopes), scope_of)})


@pytest.mark.parametrize("method", METHODS)
def test_a_token_holds_no_scope_that_its_server_leaves_out(method: str) -> None:
    """FR-10: whatever the policy permits, and for the handshake too."""
    name = "n" if METHODS[method].name_field else None
    scope = scope_of(method, name)
    assert may_use(scoped(scope), method, name)
    assert may_use(scoped("mcp:*"), method, name)
    assert not may_use(scoped(scope + "x", "mcp:nothing"), method, name)
    denied = scoped("mcp:nothing").decide_operation(key(), "weather", method, name)
    assert isinstance(denied, Denial)
    assert (denied.reason, denied.rule) == ("scope_not_allowed", "servers.weather.signer.allowed_scopes")
    assert repr(scope) in denied.message
    assert may_use(Policy((permit(),), {}, {"files": AllowedScopes(Patterns.of(["x"]), scope_of)}), method, name)


def test_s_08_a_list_shows_the_tools_whose_scopes_may_be_held() -> None:
    rules = scoped("mcp:tools/list", "mcp:tools/call:get_*")
    for tool in ("get_weather", "get_", "delete_all", "*", "get_a b"):
        shown = allows(rules.decide_operation(key(), "weather", "tools/call", tool))
        assert shown is may(rules, tool) is tool.startswith("get_")


def test_a_scope_permits_nothing_by_itself() -> None:
    assert not may(scoped("mcp:*", rules=()), "get_weather")
    assert not may(scoped("mcp:*", rules=(deny(tools=["get_*"]), permit())), "get_weather")


def test_the_scope_is_that_of_the_method_as_it_was_sent() -> None:
    """A completion is decided as using what it is for, and its token says what it is."""
    assert may_use(scoped("mcp:completion/complete"), "completion/complete")
    assert not may_use(scoped("mcp:prompts/get"), "completion/complete")
