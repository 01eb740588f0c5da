"""What a rule misses is what keeps it from deciding, and nothing else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.caller import Caller
from counterseal.core.methods import METHODS
from counterseal.core.near_miss import Miss, misses, near_denials, nearest_permit
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Allowed
from counterseal.core.policy import Policy, Rule
from tests.core.callers import call, key

_texts = st.lists(
    st.sampled_from(["a", "b", "*", "a*", "weather", "tools/*", "tools/call", "prompts/get"]), min_size=1, max_size=2
)
_patterns = st.none() | _texts.map(Patterns.of)
_rules = st.builds(
    Rule,
    label=st.just("policy[0]"),
    permits=st.booleans(),
    callers=st.lists(
        st.tuples(st.sampled_from(["team", "subject", "kind", "roles"]), _texts.map(Patterns.of)), max_size=2
    ).map(tuple),
    servers=_patterns,
    tools=_patterns,
    methods=_patterns,
)
_callers = st.builds(
    Caller,
    kind=st.sampled_from(["api_key", "token"]),
    client_id=st.just("k"),
    subject=st.sampled_from([None, "a", "ab"]),
    fields=st.sampled_from([{}, {"team_id": "a"}, {"team_id": "b"}]),
    roles=st.sampled_from([(), ("a",), ("b", "a")]),
)
_PROMPT = {"params": {"ref": {"type": "ref/prompt"}}}


@settings(max_examples=500, deadline=None)
@given(_rules, _callers, st.sampled_from(list(METHODS)), st.sampled_from(["a", "b"]))
def test_nothing_is_missed_exactly_where_the_rule_decides(rule: Rule, caller: Caller, method: str, name: str) -> None:
    asked = call(method, name, message=_PROMPT)
    everything = Rule("policy[1]", permits=True)
    policy = Policy((rule,) if rule.permits else (rule, everything), {})
    decided = policy.decide(caller, asked)
    decides = isinstance(decided, Allowed) if rule.permits else not isinstance(decided, Allowed)
    assert (misses(rule, caller, asked) == ()) is decides


def test_the_nearest_permit_is_the_one_of_which_the_least_is_missed() -> None:
    far = Rule("far", True, (("team", Patterns.of(["data"])),), tools=Patterns.of(["list_*"]))
    near = Rule("near", True, (("team", Patterns.of(["data"])),), tools=Patterns.of(["get_*"]))
    found = nearest_permit(Policy((far, near), {}), key(fields={"team_id": "sales"}), call(name="get_a"))
    assert found is not None
    assert found.rule is near
    assert found.misses == (Miss("callers.team", ("data",), ("sales",)),)
    assert nearest_permit(Policy((), {}), key(), call(name="get_a")) is None


def test_a_near_denial_is_about_the_same_operation_of_somebody_else() -> None:
    other = Rule("other caller", False, (("team", Patterns.of(["sales"])),))
    tool = Rule("other tool", False, (("team", Patterns.of(["sales"])),), tools=Patterns.of(["delete_*"]))
    found = near_denials(Policy((other, tool), {}), key(), call(name="get_a"))
    assert [one.rule.label for one in found] == ["other caller"]
