"""The envelope against the official SDK's pure functions: what they refuse, we refuse.

Where we refuse more, `_stricter` names why; a request that we refuse for no named reason fails the test.
"""

from __future__ import annotations

import base64
import unicodedata
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared.inbound import (
    InboundModernRoute,
    classify_inbound_request,
    encode_header_value,
    find_duplicated_routing_header,
    validate_mcp_param_headers,
)

from counterseal.core.call import Era, Shape
from counterseal.core.methods import METHODS, MODERN
from counterseal.errors import BadCall
from counterseal.wire import headers
from tests.wire.requests import CAPABILITIES, VERSION, Draft

SCHEMA: Final = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "x-mcp-header": "City"},
        "hour": {"type": "integer", "x-mcp-header": "Hour"},
        "cold": {"type": "boolean", "x-mcp-header": "Cold"},
    },
}
ABSENT: Final = object()


def _mostly(right: Any, *odd: Any) -> st.SearchStrategy[Any]:
    """The right value, and once in a while an odd one."""
    return st.integers(0, 19).flatmap(lambda n: st.sampled_from(odd) if n == 13 else st.just(right))


_PARAMS: Final = ("Mcp-Param-City", "Mcp-Param-Hour", "Mcp-Param-Cold")
_versions = _mostly(MODERN, "2025-11-25", "2099-01-01", "", 20260728, None, ABSENT)
_capabilities = _mostly({}, {"sampling": {}}, [], None, ABSENT)
_other_methods = ("prompts/get", "resources/read", "tools/list", "ping", "initialize", "x/y", "Tools/Call")
_methods = st.one_of(st.just("tools/call"), st.sampled_from(("tools/call", *_other_methods)))
_names = _mostly("get_weather", "wétter", " edge ", "=?base64?YQ==?=", "cafe\u0301", "", 5, None, ABSENT)
_arguments = st.one_of(
    _mostly(ABSENT, None, [], "x"),
    st.fixed_dictionaries(
        {},
        optional={
            "city": _mostly("Oslo", "Tromsø", " x ", "42", 42, None),
            "hour": st.sampled_from([5, -5, 0, 42, 42.0, 1.5, 2**53 + 1, "42", True, None]),
            "cold": _mostly(True, False, 1, [], {}),
        },
    ),
)
_ways = _mostly("right", "absent", "twice", "other case", "encoded", "padded", "other", "as a fraction")
_stray = _mostly(ABSENT, "5", "5.0", "42.0", "Oslo", "true", "=?base64?T3Nsbw==?=", "=?base64?*?=")


@st.composite
def _drafts(draw: st.DrawFn) -> Draft:
    """Requests of the newest revision that are nearly right, with the headers that belong to them, nearly."""
    version, method, name, arguments = draw(_versions), draw(_methods), draw(_names), draw(_arguments)
    meta = {
        key: value for key, value in ((VERSION, version), (CAPABILITIES, draw(_capabilities))) if value is not ABSENT
    }
    row = METHODS.get(method)
    params: dict[str, Any] = {"_meta": meta}
    if name is not ABSENT:
        params[(row.name_field if row else None) or "name"] = name
    if arguments is not ABSENT:
        params["arguments"] = arguments
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    sent: dict[str, list[str]] = {"Content-Type": ["application/json"], "Accept": ["*/*"]}
    mirrored = headers.mirrored(headers.annotated(SCHEMA), arguments) if isinstance(arguments, dict) else {}
    pairs = [
        ("MCP-Protocol-Version", version),
        ("Mcp-Method", method),
        ("Mcp-Name", name if isinstance(name, str) else ABSENT),
        *((header, mirrored.get(header.lower(), ABSENT)) for header in _PARAMS),
    ]
    for header, value in pairs:
        if isinstance(value, str):
            sent[header] = _sent(header, value, draw(_ways))
        else:  # there is nothing that this header could mirror
            stray = draw(_stray) if header in _PARAMS else ABSENT
            sent[header] = [stray] if isinstance(stray, str) else []
    return Draft(message, sent, mirrors={"get_weather": headers.annotated(SCHEMA)})


def _sent(header: str, value: str, how: str) -> list[str]:
    right = value if header in ("MCP-Protocol-Version", "Mcp-Method") else encode_header_value(value)
    return {
        "right": [right],
        "absent": [],
        "twice": [right, right],
        "other case": [right.swapcase()],
        "encoded": [f"=?base64?{base64.b64encode(value.encode()).decode()}?="],
        "padded": [f" {right}\t"],
        "other": [right + "x"],
        "as a fraction": [right + ".0"],
    }[how]


def _sdk_accepts(draft: Draft) -> bool:
    lines = [(name, value.strip(" \t")) for name, values in draft.headers.items() for value in values]
    if find_duplicated_routing_header(lines) is not None:
        return False
    sent = {name.lower(): value for name, value in lines}
    if not isinstance(classify_inbound_request(draft.message, headers=sent), InboundModernRoute):
        return False
    params = draft.message["params"]
    if draft.message["method"] != "tools/call" or params.get("name") != "get_weather":
        return True
    arguments = params.get("arguments")
    return validate_mcp_param_headers(SCHEMA, arguments if isinstance(arguments, dict) else {}, sent) is None


def _stricter(draft: Draft) -> str | None:
    """Why we refuse what the SDK's ladder lets through."""
    method, params = draft.message["method"], draft.message["params"]
    row = METHODS.get(method)
    name = params.get("name") if row is None or row.name_field is None else params.get(row.name_field)
    if not isinstance(params["_meta"].get(CAPABILITIES), dict):
        return "the SDK asks only whether the capabilities are there"
    if row is None or not row.modern:
        return "the SDK leaves the method to its dispatch"
    if row.name_field is not None and not isinstance(name, str):
        return "the SDK leaves a missing name to the validation of the method's params"
    if row.name_field == "name" and not unicodedata.is_normalized("NFC", str(name)):
        return "two readers could take a name that is not in NFC for two names"
    if row.arguments and not isinstance(params.get("arguments", {}), dict):
        return "the SDK leaves the arguments' type to the validation of the method's params"
    if any(len(values) > 1 for values in draft.headers.values()):
        return "the SDK sees a duplicated Mcp-Param header only where its mapping keeps both"
    return None


@settings(max_examples=400, deadline=None)
@given(_drafts())
def test_we_accept_nothing_that_the_sdk_refuses_and_refuse_more_for_named_reasons_only(draft: Draft) -> None:
    """M-01, M-02, M-03."""
    call = draft.outcome()
    if isinstance(call, BadCall):
        assert call.id == 1
        assert call.reason.status in (400, 404)
        assert not _sdk_accepts(draft) or _stricter(draft) is not None
        return
    if call.era is Era.LEGACY:
        # Without any sign of the newest revision the SDK's ladder does not apply: the request is of a revision before it.
        assert VERSION not in draft.message["params"]["_meta"]
        assert draft.headers["MCP-Protocol-Version"] in ([], ["2025-11-25"], [" 2025-11-25\t"])
        return
    assert call.shape is Shape.REQUEST
    assert _stricter(draft) is None
    if not _sdk_accepts(draft):
        # The only one: an argument that is not of its declared type, and so no argument of this tool, as a whole number that
        # the header writes in another way (`42.0`). Nothing behind us sees that header: it is made anew from the body.
        assert _is_a_number_of_another_type(draft.message["params"]["arguments"])
        assert {"42", "1"} & {value for _, value in call.param_headers}


def _is_a_number_of_another_type(arguments: dict[str, Any]) -> bool:
    return any(isinstance(arguments.get(key), int | float) for key in ("city", "cold"))
