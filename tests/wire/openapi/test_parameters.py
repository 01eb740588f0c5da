"""Which parameters become arguments, and under which name."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.wire.openapi.pointer import pointer_text
from tests.wire.openapi.documents import ID, arguments, compiled, definition, document, parameter, tool, unmapped


def only(*parameters: dict[str, Any], **described: Any) -> dict[str, Any]:
    return arguments(path="/things", parameters=parameters, **described)


def test_a_parameter_is_an_argument_with_its_schema_and_description() -> None:
    limit = parameter("limit", schema={"type": "integer", "maximum": 9}, required=True, description="How many.\u200b")
    sort = parameter("sort", schema={"type": "string", "description": "Its own."}, description="Another.")
    made = definition(path="/things/{id}", parameters=(ID, limit, sort))["inputSchema"]
    assert made == {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "limit": {"type": "integer", "maximum": 9, "description": "How many."},
            "sort": {"type": "string", "description": "Its own."},
        },
        "required": ["id", "limit"],
        "additionalProperties": False,
    }


def test_the_operations_own_takes_the_place_of_the_paths() -> None:
    whole = document(path="/things/{id}", parameters=(ID, parameter("q", schema={"type": "integer"})))
    whole["paths"]["/things/{id}"]["parameters"] = [parameter("q"), parameter("p", "header")]
    assert arguments(whole) == {"q": {"type": "integer"}, "p": {"type": "string"}, "id": {"type": "string"}}


def test_a_parameter_may_stand_in_the_components() -> None:
    components = {"parameters": {"Q": {"$ref": "#/components/parameters/R"}, "R": parameter("r")}}
    assert only({"$ref": "#/components/parameters/Q"}, components=components) == {"r": {"type": "string"}}
    assert "leads nowhere" in unmapped(path="/things", parameters=({"$ref": "#/components/parameters/S"},)).what


def test_a_parameter_may_have_json_for_its_content() -> None:
    (made,) = tool(
        path="/things", parameters=({"name": "f", "in": "query", "content": {"application/json": {"schema": {}}}},)
    ).parameters
    assert made.style == "json"
    other = {"name": "f", "in": "query", "required": True, "content": {"text/plain": {}}}
    assert "neither a `schema` nor a `content` of JSON" in unmapped(path="/things", parameters=(other,)).what


# ---- names


@pytest.mark.parametrize(
    ("names", "argued"),
    [
        (["q", "page_size", "a.b-c"], ["q", "page_size", "a.b-c"]),
        (["filter[name]", "$top", "ns:a"], ["filter_name", "top", "ns_a"]),
        (["été"], ["t"]),
        (["日本"], ["query"]),
        (["x" * 80], ["x" * 64]),
    ],
)
def test_an_argument_has_the_parameters_name_or_the_nearest_that_agents_take(
    names: list[str], argued: list[str]
) -> None:
    made = tool(path="/things", parameters=tuple(map(parameter, names)))
    assert [one.argument for one in made.parameters] == argued
    assert [one.name for one in made.parameters] == names


def test_parameters_of_one_name_in_two_places_are_two_arguments() -> None:
    both = (ID, parameter("id"), parameter("id", "header"))
    assert list(arguments(path="/things/{id}", parameters=both)) == ["path_id", "query_id", "header_id"]
    named_body = arguments(path="/things", verb="post", parameters=(parameter("body"),), body={})
    assert list(named_body) == ["query_body", "body"]
    assert list(only(parameter("body"))) == ["body"]


def test_s_15_two_parameters_are_never_one_argument() -> None:
    remark = unmapped(path="/things", parameters=(parameter("a[b]"), parameter("a(b)")))
    assert "two parameters would both be the argument 'query_a_b'" in remark.what
    assert len(only(parameter("a[b]"), parameter("a(c)"))) == 2


# ---- headers


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Authorization2",
            "Cookie",
            "Host",
            "Connection",
            "Transfer-Encoding",
            "TE",
            "Upgrade",
            "Content-Length",
            "content-md5",
        ),
        *(
            "Mcp-Name",
            "MCP-Protocol-Version",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "Forwarded",
            "X-Real-IP",
            "Origin",
        ),
        *(
            "X-HTTP-Method-Override",
            "X-Original-URL",
            "Proxy-Authorization",
            "X-Api-Key",
            "X-Tenant",
            "x-tenant",
            "Expect",
        ),
        *("X-Counterseal-Debug", "Accept-Encoding", "User-Agent", "Sec-Fetch-Site", "X-Remote-User"),
    ],
)
def test_a_header_that_routes_frames_or_authenticates_is_nobodys_argument(name: str) -> None:
    if name == "Authorization2":  # the accepted twin
        assert only(parameter(name, "header")) == {name: {"type": "string"}}
        return
    optional = compiled(document(path="/things", parameters=(parameter(name, "header"),)))
    assert [one.parameters for one in optional.tools] == [()]
    (note,) = optional.notes
    assert "the gateway alone writes" in note.what
    assert note.what.endswith("; the tool does without it")
    assert unmapped(path="/things", parameters=(parameter(name, "header", required=True),)).what


@pytest.mark.parametrize("name", ["Accept", "Content-Type", "authorization"])
def test_headers_that_openapi_has_ignored_are_ignored_though_they_are_required(name: str) -> None:
    made = compiled(document(path="/things", parameters=(parameter(name, "header", required=True),)))
    assert [one.parameters for one in made.tools] == [()]
    assert not made.notes


@pytest.mark.parametrize("name", ["X Y", "X:Y", "X\r\nEvil", "Ü"])
def test_what_is_no_name_of_a_header_is_none(name: str) -> None:
    assert (
        "no name for a header" in unmapped(path="/things", parameters=(parameter(name, "header", required=True),)).what
    )


# ---- what has no form


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (parameter("s", "cookie"), "cookies are never sent"),
        (parameter("s", "body"), "no such place"),
        (parameter("s", style="pipeDelimited"), "the style 'pipeDelimited'"),
        (parameter("s", style="spaceDelimited"), "the style 'spaceDelimited'"),
        (parameter("s", "header", style="form"), "the style 'form'"),
        (parameter("s", schema={"type": "object"}), "an object of style `form` with `explode`"),
        (parameter("s", schema={"$ref": "#/components/schemas/None"}), "leads nowhere"),
    ],
)
def test_what_has_no_form_is_left_out_or_leaves_the_tool_out_where_it_is_required(
    made: dict[str, Any], what: str
) -> None:
    (note,) = compiled(document(path="/things", parameters=(made,))).notes
    assert what in note.what
    remark = unmapped(path="/things", parameters=(parameter("a"), {**made, "required": True}))
    assert what in remark.what
    assert pointer_text(remark.at).startswith("#/paths/~1things/get/parameters/1")


def test_an_object_in_a_query_has_a_form_where_its_members_stay_its_own() -> None:
    for members in ({"style": "deepObject"}, {"explode": False}):
        assert tool(path="/things", parameters=(parameter("s", schema={"type": "object"}, **members),)).parameters


@pytest.mark.parametrize("style", ["label", "matrix"])
def test_a_path_is_written_in_one_style(style: str) -> None:
    assert style in unmapped(parameters=({**ID, "style": style},)).what
    assert tool(parameters=({**ID, "style": "simple"},))


@pytest.mark.parametrize("value", ["q", [5], [{"in": "query"}], [{"name": "q"}], {"name": "q"}])
def test_what_is_no_list_of_parameters_leaves_the_tool_out(value: Any) -> None:
    assert unmapped(document({"parameters": value}, path="/things")).what
