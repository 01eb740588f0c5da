"""What verified claims make of a caller: each from its path, each of its type, and nothing that nobody asked for."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from counterseal.core.actors import ACT_DEPTH
from counterseal.errors import Unauthenticated
from counterseal.identity.accept import Accept, ClaimPaths, InsufficientScope
from counterseal.jose.refusal import TokenRefused
from tests.identity.issuers import CALLED, CORP, INBOUND, OURS, claims, refusal, trusted, who
from tests.support.tokens import ABSENT, token, vectors

# ---- clients and actors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "client"),
    [
        ({}, "ide"),
        ({"client_id": ABSENT, "azp": "app"}, "app"),
        ({"azp": "app"}, "ide"),
        ({"client_id": ABSENT}, "alice"),
    ],
)
async def test_the_client_is_client_id_else_azp_else_the_subject(changes: dict[str, Any], client: str) -> None:
    caller = await who(token(claims(**changes)))
    assert caller is not None
    assert caller.client_id == client


@pytest.mark.parametrize("value", [7, ["ide"], {"id": "ide"}, True])
async def test_a_client_that_is_not_a_string_is_refused(value: Any) -> None:
    assert "client_id" in await refusal(token(claims(client_id=value)))


def chain(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "agent-0"}
    for number in range(1, depth):
        act = {"sub": f"agent-{number}", "act": act}
    return act


async def test_j_32_a_verified_chain_of_actors_is_kept_as_it_is_up_to_its_ceiling() -> None:
    caller = await who(token(claims(act=chain(ACT_DEPTH))))
    assert caller is not None
    assert caller.act == chain(ACT_DEPTH)
    assert "act" in await refusal(token(claims(act=chain(ACT_DEPTH + 1))))


@pytest.mark.parametrize(
    "act",
    [
        "agent-7",
        7,
        True,
        [],
        ["agent-7"],
        {},
        {"sub": 7},
        {"sub": "a", "act": "b"},
        {"sub": "a", "act": {}},
        {"x": "y"},
    ],
)
async def test_j_32_what_is_not_a_chain_of_actors_is_refused(act: Any) -> None:
    assert "act" in await refusal(token(claims(act=act)))


@pytest.mark.parametrize("name", ["sub", "iss", "client_id"])
@pytest.mark.parametrize("value", [7, None, "", "a\nb", "a\u202eb", "x" * 256, ["a"]])
async def test_j_32_i_05_an_actor_is_named_by_texts_that_can_be_seen(name: str, value: Any) -> None:
    whole = {"sub": "agent-7", "iss": CORP, "client_id": "app"}
    for act in (whole, {"sub": "outer", "act": whole}):
        caller = await who(token(claims(act=act)))
        assert caller is not None
        assert caller.act == act
    for act in ({**whole, name: value}, {"sub": "outer", "act": {**whole, name: value}}):
        assert "act" in await refusal(token(claims(act=act)))


@pytest.mark.parametrize("may_act", [{"sub": "a"}, {"iss": CORP}, {"client_id": "c", "email": "x"}])
async def test_who_may_act_is_kept_as_the_token_says_it(may_act: dict[str, str]) -> None:
    caller = await who(token(claims(may_act=may_act)))
    assert caller is not None
    assert caller.may_act == may_act


@pytest.mark.parametrize(
    "may_act",
    [None, "a", ["a"], {}, {"email": "x"}, {"sub": 7}, {"sub": None}, {"sub": ""}, {"sub": "a", "iss": ["x"]}, True],
)
async def test_a_may_act_that_names_nobody_is_a_bad_token(may_act: Any) -> None:
    """RFC 8693 section 4.4: read as "anybody" it would be the opposite of what it is for."""
    assert "may_act" in await refusal(token(claims(may_act=may_act)))


@pytest.mark.parametrize("name", ["client_id", "azp"])
@pytest.mark.parametrize("value", ["a\nb", "a\0", "a\u202eb", "x" * 256])
async def test_i_05_a_client_holds_nothing_that_a_reader_could_not_see(name: str, value: str) -> None:
    assert name in await refusal(token(claims(**{"client_id": ABSENT, name: value})))
    assert await who(token(claims(**{"client_id": ABSENT, name: "x" * 255}))) is not None


# ---- fields by their paths ---------------------------------------------------------------------------------------------

EVERY = ClaimPaths(
    subject=("oid",),
    email=("user", "email"),
    team=("https://example.com/team",),
    org=("tid",),
    agent=("agent",),
    scope=("scopes",),
    roles=("realm_access", "roles"),
    groups=("groups",),
)
HELD: dict[str, Any] = {
    "oid": "o-1",
    "user": {"email": "a@example.com", "email_verified": True},
    "https://example.com/team": "data",
    "tid": "acme",
    "agent": "planner",
    "scopes": ["read", "write"],
    "realm_access": {"roles": ["admin", "user"]},
    "groups": ["g1"],
}


async def test_every_field_is_taken_from_its_path() -> None:
    caller = await who(token(claims(**HELD)), trusted(paths=EVERY))
    assert caller is not None
    assert (caller.subject, caller.client_id) == ("o-1", "ide")
    assert caller.fields == {
        "user_id": "o-1",
        "email": "a@example.com",
        "team_id": "data",
        "org_id": "acme",
        "agent_id": "planner",
    }
    assert (caller.email, caller.team, caller.organisation, caller.agent) == (
        "a@example.com",
        "data",
        "acme",
        "planner",
    )
    assert (caller.roles, caller.groups, caller.scopes) == (("admin", "user"), ("g1",), ("read", "write"))


async def test_nothing_is_a_field_that_no_path_names() -> None:
    """Invariant 3: what a token says of itself unasked changes nothing."""
    named = {"team": "data", "team_id": "data", "org": "acme", "agent_id": "x", "roles": ["admin"], "groups": ["g1"]}
    caller = await who(token(claims(**named)))
    assert caller is not None
    assert caller.fields == {"user_id": "alice"}
    assert (caller.roles, caller.groups, caller.scopes) == ((), (), ())


@pytest.mark.parametrize("where", [("claims", "is no object"), ("realm_access", "roles", "x"), ("realm_access",)])
async def test_a_path_that_leads_nowhere_finds_nothing_and_one_to_another_type_is_refused(
    where: tuple[str, ...],
) -> None:
    issuer = trusted(paths=ClaimPaths(roles=where))
    if where == ("realm_access",):
        assert "roles" in await refusal(token(claims(**HELD)), issuer)
        return
    caller = await who(token(claims(**HELD, claims="text")), issuer)
    assert caller is not None
    assert caller.roles == ()


TEXTS = {"team": "https://example.com/team", "org": "tid", "agent": "agent"}


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", [7, True, False, 0, 1.5, ["data"], [], {}, {"a": "b"}, "a\r\nb", "a\0", "x" * 256])
async def test_i_06_a_text_is_a_text_and_not_the_first_of_a_list(field: str, value: Any) -> None:
    issuer = trusted(paths=EVERY)
    assert field in await refusal(token(claims(**{**HELD, TEXTS[field]: value})), issuer)
    assert await who(token(claims(**{**HELD, TEXTS[field]: "x" * 255})), issuer) is not None


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", [ABSENT, None, ""])
async def test_i_07_an_empty_claim_is_a_missing_one(field: str, value: Any) -> None:
    held = {name: one for name, one in {**HELD, TEXTS[field]: value}.items() if one is not ABSENT}
    caller = await who(token(claims(**held)), trusted(paths=EVERY))
    assert caller is not None
    assert getattr(caller, {"org": "organisation"}.get(field, field)) is None


@pytest.mark.parametrize("value", [ABSENT, None, "", 7, ["o-1"], {}, "a\nb", "x" * 256, "anonymous", "apikey:k1"])
async def test_i_07_a_subject_is_there_and_is_one(value: Any) -> None:
    issuer = trusted(paths=EVERY)
    held = {name: one for name, one in {**HELD, "oid": value}.items() if one is not ABSENT}
    assert (await refusal(token(claims(**held)), issuer)).startswith("subject")
    assert await who(token(claims(**HELD, sub=ABSENT)), issuer) is not None


async def test_a_sub_beside_another_subject_is_still_held_to_its_rules() -> None:
    assert (await refusal(token(claims(**HELD, sub=7)), trusted(paths=EVERY))).startswith("subject")


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        (["a", "b"], ("a", "b")),
        ("a b,c", ("a b,c",)),
        (["a b"], ("a b",)),
        (["a", "", "b"], ("a", "b")),
        ([], ()),
        ("", ()),
        (None, ()),
    ],
)
@pytest.mark.parametrize("field", ["roles", "groups"])
async def test_i_06_a_list_is_its_texts_and_a_single_text_is_one_of_them(field: str, value: Any, roles: Any) -> None:
    issuer = trusted(paths=ClaimPaths(**{field: ("them",)}))
    caller = await who(token(claims(them=value)), issuer)
    assert caller is not None
    assert getattr(caller, field) == roles


@pytest.mark.parametrize("value", [7, True, False, 0, {"a": "b"}, {}, ["a", 7], [None], [["a"]]])
@pytest.mark.parametrize("field", ["roles", "groups", "scope"])
async def test_i_06_a_list_of_something_else_is_refused(field: str, value: Any) -> None:
    issuer = trusted(paths=ClaimPaths(**{field: ("them",)}))
    assert field in await refusal(token(claims(them=value)), issuer)
    assert await who(token(claims(them=["a"])), issuer) is not None


# ---- e-mail ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verified", [False, None, "true", 1, "yes", [], {}, 0, ABSENT])
async def test_i_13_an_address_counts_once_its_issuer_verified_it(verified: Any) -> None:
    address = {"email": "a@example.com"}
    good = await who(token(claims(**address, email_verified=True)))
    assert good is not None
    assert good.email == "a@example.com"
    unverified = await who(token(claims(**address, email_verified=verified)))
    assert unverified is not None
    assert unverified.email is None
    trusting = await who(token(claims(**address, email_verified=verified)), trusted(require_email_verified=False))
    assert trusting is not None
    assert trusting.email == "a@example.com"


async def test_i_13_what_verifies_an_address_stands_beside_it() -> None:
    issuer = trusted(paths=ClaimPaths(email=("user", "email")))
    elsewhere = await who(token(claims(user={"email": "a@b"}, email_verified=True)), issuer)
    assert elsewhere is not None
    assert elsewhere.email is None
    beside = await who(token(claims(user={"email": "a@b", "email_verified": True})), issuer)
    assert beside is not None
    assert beside.email == "a@b"


async def test_i_13_two_issuers_may_verify_one_address_and_are_still_two() -> None:
    address = {"email": "a@example.com", "email_verified": True}
    one = await who(token(claims(**address)), trusted())
    assert one is not None
    assert (one.issuer, one.email) == (CORP, "a@example.com")
    upper = await who(token(claims(**{**address, "email": "A@example.com"})))
    assert upper is not None
    assert upper.email == "A@example.com"  # compared as it is, by rules too


@pytest.mark.parametrize("email", [7, ["a@example.com"], {"a": "b"}, True, "a\r\n@b"])
async def test_i_06_an_address_of_another_type_is_refused(email: Any) -> None:
    assert "email" in await refusal(token(claims(email=email, email_verified=True)))


# ---- scopes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": "a b"}, ("a", "b")),
        ({"scope": " a  b "}, ("a", "b")),
        ({"scope": ["a", "b"]}, ("a", "b")),
        ({"scp": "a b"}, ("a", "b")),
        ({"scp": ["a b"]}, ("a b",)),
        ({"scope": "a", "scp": "b"}, ("a",)),
        ({"scope": "", "scp": "b"}, ("b",)),
        ({"scope": "a\tb\n"}, ("a\tb\n",)),
        ({}, ()),
    ],
)
async def test_scopes_are_separated_by_spaces_alone(changes: dict[str, Any], scopes: tuple[str, ...]) -> None:
    """RFC 6749 section 3.3, RFC 9068 section 2.2.3; `scp` is what some providers say."""
    caller = await who(token(claims(**changes)))
    assert caller is not None
    assert caller.scopes == scopes


@pytest.mark.parametrize(
    "scope", [ABSENT, "", "read", "write", "read writes", "READ WRITE", "read,write", ["read write"], "read\nwrite"]
)
async def test_a_token_that_says_too_little_is_403_and_all_that_is_needed_is_named(scope: Any) -> None:
    issuer = trusted(required_scopes=("read", "write"))
    with pytest.raises(InsufficientScope) as refused:
        await who(token(claims(scope=scope)), issuer)
    error = refused.value
    assert (error.reason.code, error.reason.status, error.scopes) == ("insufficient_scope", 403, ("read", "write"))
    assert "read write" in error.message
    for enough in ("write read", ["write", "x", "read"]):
        assert await who(token(claims(scope=enough)), issuer) is not None


async def test_a_bad_token_is_not_told_which_scopes_are_needed() -> None:
    issuer = trusted(required_scopes=("read",), paths=ClaimPaths(roles=("roles",)))
    for bad in (claims(aud="other"), claims(cnf={}), claims(act="x"), claims(roles=7), claims(sub="")):
        await refusal(token(bad), issuer)


# ---- what another authenticator makes of an answer ---------------------------------------------------------------------


def accept(**changes: Any) -> Accept:
    return Accept(**{"name": "corp", "issuers": (CORP,), "own": OURS, **changes})


def test_claims_that_the_issuer_vouches_for_by_its_word_make_the_same_caller() -> None:
    made = accept(paths=EVERY)(claims(**HELD), INBOUND)
    assert (made.kind, made.issuer, made.subject, made.roles) == ("token", CORP, "o-1", ("admin", "user"))
    assert made == accept(paths=EVERY).caller(claims(**HELD))


def test_an_answer_may_leave_out_who_gives_it_and_when_it_ends() -> None:
    """RFC 7662 section 2.2: all but `active` is optional."""
    short = {"sub": "alice", "client_id": "ide"}
    made = accept()(short, INBOUND)
    assert (made.issuer, made.expires) == (CORP, None)
    with pytest.raises(TokenRefused, match="`iss`"):
        accept()({**short, "iss": CORP + "/"}, INBOUND)
    with pytest.raises(TokenRefused, match="`iss`"):
        accept(issuers=(CORP, CORP + "2"))(short, INBOUND)


def test_n_03_j_17_an_answer_that_is_for_somebody_is_for_us() -> None:
    assert accept()(claims(aud=CALLED), INBOUND).subject == "alice"
    assert accept(audiences=("api",))(claims(aud=["x", "api"]), INBOUND).subject == "alice"
    for refused in (claims(aud=f"{OURS}/mcp/files"), claims(aud=None), claims(aud=[]), claims(aud=OURS)):
        with pytest.raises(TokenRefused) as told:
            accept()(refused, INBOUND)
        assert told.value.code == "audience"


@pytest.mark.parametrize("claim", [{"cnf": {"jkt": "x"}}, {"events": {}}, {"at_hash": "x"}, {"token_use": "id"}])
def test_j_20_j_31_an_answer_about_another_kind_of_token_is_refused(claim: dict[str, Any]) -> None:
    assert accept()(claims(), INBOUND)
    with pytest.raises(TokenRefused):
        accept()(claims(**claim), INBOUND)


# ---- one caller for many calls -----------------------------------------------------------------------------------------


def test_i_09_nothing_of_a_caller_can_be_changed_at_any_depth() -> None:
    made = accept(paths=EVERY).caller(claims(**HELD, act={"sub": "a", "act": {"sub": "b"}}, may_act={"sub": "a"}))
    assert made.act is not None
    assert made.may_act is not None
    for change in (
        lambda: made.claims.__setitem__("sub", "mallory"),  # type: ignore[attr-defined]
        lambda: made.claims["realm_access"].__setitem__("roles", []),
        lambda: made.claims["realm_access"]["roles"].append("root"),
        lambda: made.fields.__setitem__("team_id", "ops"),  # type: ignore[attr-defined]
        lambda: made.act["act"].__setitem__("sub", "mallory"),
        lambda: made.may_act.__setitem__("sub", "mallory"),
        lambda: made.roles.append("root"),  # type: ignore[attr-defined]
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()


async def test_i_08_each_token_of_one_subject_has_its_own_roles() -> None:
    issuer = trusted(paths=ClaimPaths(roles=("roles",)))
    tokens = [(token(claims(roles=[f"role-{n}"])), (f"role-{n}",)) for n in range(2)]
    for number in range(200):
        presented, roles = tokens[number % 2]
        caller = await who(presented, issuer)
        assert caller is not None
        assert caller.roles == roles


def test_i_15_a_token_gives_itself_nothing_that_only_an_operator_gives() -> None:
    """Mass assignment: the names of a caller's own fields, as claims."""
    wished = {
        "kind": "api_key",
        "fields": {"team_id": "ops"},
        "metadata": {"cost": "0"},
        "servers": ["*"],
        "tools": ["*"],
        "headers": {"x-user": "root"},
        "channel": {"issuer": "x", "subject": "y"},
        "channel_ignored": True,
        "expires": None,
        "issuer": "https://other",
        "subject": "root",
        "user_id": "root",
        "allowed_routes": ["*"],
        "role": "proxy_admin",
    }
    made, plain = accept().caller(claims(**wished)), accept().caller(claims())
    assert dataclasses.replace(made, claims=plain.claims) == plain


@pytest.mark.parametrize("path", ["sub", "email", "team", "roles", "act"])
async def test_i_05_a_naughty_text_is_taken_as_it_is_or_refused(path: str) -> None:
    """BLNS, in each place that a caller's fields come from: nothing is mended, cut, or an error of ours."""
    naughty = json.loads((vectors("blns") / "blns.json").read_text())
    paths = ClaimPaths(team=("team",), roles=("roles",))
    issuer = trusted(paths=paths, require_email_verified=False)
    taken = 0
    for text in naughty:
        changes: dict[str, Any] = {"act": {"sub": text}} if path == "act" else {path: text}
        presented = token(claims(**changes))
        try:
            caller = await who(presented, issuer)
        except Unauthenticated:
            continue
        assert caller is not None
        found = {
            "sub": caller.subject,
            "email": caller.email or "",
            "team": caller.team or "",
            "roles": "".join(caller.roles),
            "act": (caller.act or {}).get("sub"),
        }
        assert found[path] == text
        taken += 1
    assert taken > 300


def test_i_14_a_subject_is_compared_by_its_bytes_and_never_made_alike() -> None:
    alike = [
        "admin",
        "\N{CYRILLIC SMALL LETTER A}dmin",
        "ADMIN",
        "\N{FULLWIDTH LATIN SMALL LETTER A}dmin",
        "admi\u0301n",
    ]
    made = [accept().caller(claims(sub=subject)) for subject in alike]
    assert [caller.subject for caller in made] == alike
    assert len({caller.fingerprint() for caller in made}) == len(alike)
