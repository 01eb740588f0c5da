"""Who may call, and the identity providers that may say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterseal.config.callers import Issuer
from tests.config.writing import IDP, ISSUER, Steps, at, load, problems, refused, write


def test_c_02_a_gateway_that_nobody_could_call_is_refused() -> None:
    written, problem = refused(callers={"api_keys": False})
    assert problem.startswith(at(written, "callers") + "callers: lets nobody call: set `api_keys: true`")
    for who in ({"api_keys": True}, {"anonymous": True}, {"issuers": [IDP]}):
        load(callers={"api_keys": False} | who)


def test_any_number_of_issuers_is_accepted_and_each_has_defaults() -> None:
    others = [{**IDP, "name": f"corp{n}", "issuer": f"https://idp{n}.example.com"} for n in range(5)]
    issuers = load(callers={"issuers": others}).callers.issuers
    assert len(issuers) == 5
    assert issuers[0].audience is None
    assert issuers[0].algorithms == ("RS256", "ES256")
    assert not issuers[0].allow_insecure_loopback


@pytest.mark.parametrize("key", ["name", "issuer"])
def test_two_issuers_of_one_name_or_address_are_refused(key: str) -> None:
    other = {"name": "other", "issuer": "https://other.example.com", "jwks_uri": IDP["jwks_uri"]}
    load(callers={"issuers": [IDP, other]})
    written, problem = refused(callers={"issuers": [IDP, {**other, key: IDP[key]}]})
    assert problem.startswith(at(written, "callers", "issuers", 1, key) + f"callers.issuers[1].{key}: is ")


def test_our_own_tokens_never_come_back_in() -> None:
    written, problem = refused(callers={"issuers": [{**IDP, "issuer": ISSUER}]})
    assert problem.startswith(at(written, "callers", "issuers", 0, "issuer"))
    assert "this gateway itself" in problem
    load(callers={"issuers": [{**IDP, "issuer": f"{ISSUER}/"}]})


@pytest.mark.parametrize("name", ["HS256", "none", "ES256K", "ML-DSA-44"])
def test_an_idp_cannot_use_an_algorithm_that_is_not_in_the_table(name: str) -> None:
    load(callers={"issuers": [{**IDP, "algorithms": ["RS512", "PS256", "ES384", "EdDSA"]}]})
    written, problem = refused(callers={"issuers": [{**IDP, "algorithms": ["RS256", name]}]})
    assert problem.startswith(at(written, "callers", "issuers", 0, "algorithms", 1))


@pytest.mark.parametrize("key", ["audience", "algorithms"])
def test_an_empty_list_that_could_mean_all_or_none_is_refused(key: str) -> None:
    assert "empty list" in refused(callers={"issuers": [{**IDP, key: []}]})[1]


# where an issuer's keys are, and what it is called

DISCOVERY = "https://idp.example.com/.well-known/openid-configuration"


def idp(**keys: Any) -> dict[str, Any]:
    """`callers` with one issuer: IDP with other keys; None leaves one out."""
    return {"callers": {"issuers": [{key: value for key, value in {**IDP, **keys}.items() if value is not None}]}}


def issuer_of(**keys: Any) -> Issuer:
    return load(**idp(**keys)).callers.issuers[0]


def told(says: str, *steps: str | int, **keys: Any) -> None:
    """One problem, below the issuer at these steps, that says this."""
    written, problem = refused(**idp(**keys))
    where: Steps = ("callers", "issuers", 0, *steps)
    while where not in written.values and where not in written.keys:  # what is missing is told where it should be
        where = where[:-1]
    assert problem.startswith(at(written, *where))
    assert says in problem
    assert "c4n4ry" not in problem


def test_an_issuer_has_exactly_one_source_of_keys_or_an_endpoint_to_ask() -> None:
    issuer_of(discovery_uri=DISCOVERY, jwks_uri=None)
    issuer_of(jwks_uri=None, introspection=ENDPOINT)
    issuer_of(introspection=ENDPOINT)
    told("keep one of the two", "jwks_uri", discovery_uri=DISCOVERY)
    told("has no keys and nobody to ask", jwks_uri=None)


@pytest.mark.parametrize(
    ("discovery", "issuer"),
    [
        (DISCOVERY, "https://idp.example.com"),
        ("https://idp.example.com/realms/a/.well-known/openid-configuration", "https://idp.example.com/realms/a"),
        ("https://idp.example.com:8443/.well-known/oauth-authorization-server", "https://idp.example.com:8443"),
        ("https://idp.example.com/.well-known/oauth-authorization-server/a/b", "https://idp.example.com/a/b"),
    ],
)
def test_an_issuer_that_is_left_out_is_what_the_address_was_made_from(discovery: str, issuer: str) -> None:
    assert issuer_of(issuer=None, discovery_uri=discovery, jwks_uri=None).issuer == issuer
    given = issuer_of(issuer="https://idp.example.com/", discovery_uri=discovery, jwks_uri=None)
    assert given.issuer == "https://idp.example.com/"


@pytest.mark.parametrize(
    "discovery",
    [
        "https://idp.example.com/discovery",
        "https://idp.example.com/.well-known/openid-configuration?tenant=a",
        "https://idp.example.com/.well-known/openid-configuration/",
        "https://idp.example.com/a/.well-known/oauth-authorization-server/b",
        "https://idp.example.com/.well-known/oauth-authorization-server-of-another",
    ],
)
def test_an_issuer_is_not_guessed_from_another_address(discovery: str) -> None:
    told("is missing: add it", "issuer", issuer=None, discovery_uri=discovery, jwks_uri=None)
    told("is missing: add it", "issuer", issuer=None)
    issuer_of(discovery_uri=discovery, jwks_uri=None)


def test_k_02_other_hosts_for_keys_are_listed_by_their_names_and_for_a_document_alone() -> None:
    assert issuer_of(discovery_uri=DISCOVERY, jwks_uri=None, jwks_hosts=["keys.example.com"]).jwks_hosts
    told("for a `discovery_uri`", "jwks_hosts", jwks_hosts=["keys.example.com"])
    told("for a `discovery_uri`", "jwks_hosts", jwks_uri=None, introspection=ENDPOINT, jwks_hosts=["keys.example.com"])
    told(
        "without port", "jwks_hosts", 0, discovery_uri=DISCOVERY, jwks_uri=None, jwks_hosts=["https://keys.example.com"]
    )


# tenants

TEMPLATE = "https://login.example.com/{tenantid}/v2.0"


def test_an_issuer_of_tenants_is_every_address_of_a_tenant_that_is_listed() -> None:
    assert issuer_of(issuer=TEMPLATE, tenants=["a-1", "b.example"]).issuers == (
        "https://login.example.com/a-1/v2.0",
        "https://login.example.com/b.example/v2.0",
    )
    assert issuer_of().issuers == ("https://idp.example.com",)


def test_tenants_and_their_place_in_the_issuer_go_together() -> None:
    told("`issuer` holds `{tenantid}`", "tenants", issuer=TEMPLATE)
    told("is for an `issuer` that holds", "tenants", tenants=["a"])
    told("cannot be asked", "introspection", issuer=TEMPLATE, tenants=["a"], introspection=ENDPOINT)


@pytest.mark.parametrize("tenant", ["", "a/b", "..", "a..b", "*", "{tenantid}", "a b", "-a", "a?", "a%2fb"])
def test_a_tenant_is_one_step_of_the_path(tenant: str) -> None:
    written, problem = refused(**idp(issuer=TEMPLATE, tenants=["good", tenant]))
    assert problem.startswith(at(written, "callers", "issuers", 0, "tenants", 1))


@pytest.mark.parametrize(
    "template",
    [
        "https://{tenantid}.example.com/v2.0",
        "https://login.example.com/?t={tenantid}",
        "https://login.example.com/{tenantid}/{tenantid}",
        "https://login.example.com/{tenant}",
    ],
)
def test_a_tenant_is_in_no_host_and_nowhere_twice(template: str) -> None:
    written, problem = refused(**idp(issuer=template, tenants=["a"]))
    assert problem.startswith(at(written, "callers", "issuers", 0, "issuer"))


def test_j_18_two_issuers_whose_tenants_have_one_address_are_refused() -> None:
    tenants = {**IDP, "name": "tenants", "issuer": TEMPLATE, "tenants": ["a", "b"]}
    alone = {**IDP, "issuer": "https://login.example.com/b/v2.0"}
    load(callers={"issuers": [{**tenants, "tenants": ["a"]}, alone]})
    written, problem = refused(callers={"issuers": [tenants, alone]})
    assert problem.startswith(at(written, "callers", "issuers", 1, "issuer"))
    assert "listed already" in problem


def test_j_21_a_tenant_is_not_this_gateway_either() -> None:
    ours = {**IDP, "issuer": "https://gateway.{tenantid}", "tenants": ["a"]}
    own = {**IDP, "issuer": "https://gateway.example.com/{tenantid}", "tenants": ["a", "b"]}
    text = write({"issuer": "https://gateway.example.com/b", "callers": {"issuers": [own]}}).text
    assert any("this gateway itself" in problem for problem in problems(text))
    assert refused(callers={"issuers": [ours]})


# what its tokens must be


def test_the_checks_of_an_issuer_have_safe_defaults() -> None:
    made = issuer_of()
    assert (made.types, made.untyped, made.leeway, made.longest_life) == (("at+jwt", "JWT"), True, 30, None)
    assert (made.required_scopes, made.require_email_verified, made.tenants) == ((), True, ())
    assert (made.claims.subject, made.claims.email) == (("sub",), ("email",))
    assert {made.claims.team, made.claims.org, made.claims.agent, made.claims.scope} == {None}
    assert (made.claims.roles, made.claims.groups) == (None, None)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("leeway", [0, 60, "1m"], [-1, 61, "2m"]),
        ("longest_life", [1, "24h"], [0, -1]),
        (
            "types",
            [["at+jwt"], ["application/at+jwt", "JWT"], ["x.y-z+jwt"]],
            [[], [""], ["at jwt"], ["at+jwt", "at+jwt"]],
        ),
        ("required_scopes", [[], ["a", "urn:x/y.z", "!#[]~"]], [[""], ["a b"], ['a"'], ["a\\b"], ["å"], ["a", "a"]]),
        (
            "allow_networks",
            [["10.0.0.0/8", "fd00::/8", "10.1.2.3"]],
            [["10.0.0.1/8"], ["10.0.0"], ["corp"], ["10.0.0.0/33"]],
        ),
    ],
)
def test_a_check_is_one_that_means_something(key: str, good: list[Any], bad: list[Any]) -> None:
    """J-14, J-15, J-20, K-02."""
    for value in good:
        issuer_of(**{key: value})
    for value in bad:
        _, problem = refused(**idp(**{key: value}))
        assert f"callers.issuers[0].{key}" in problem


@pytest.mark.parametrize(
    "typ", ["logout+jwt", "application/LOGOUT+JWT", "secevent+jwt", "dpop+jwt", "id_token", "kb+jwt"]
)
def test_j_20_no_configuration_takes_what_is_no_access_token_by_its_type(typ: str) -> None:
    written, problem = refused(**idp(types=["at+jwt", typ]))
    assert problem.startswith(at(written, "callers", "issuers", 0, "types", 1))
    assert "no access token" in problem


# which claim says what


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("roles", ("roles",)),
        ("realm_access.roles", ("realm_access", "roles")),
        (["https://example.com/roles"], ("https://example.com/roles",)),
        (["resource_access", "a.b", "roles"], ("resource_access", "a.b", "roles")),
    ],
)
def test_a_claim_is_named_by_a_path_with_dots_or_a_list_of_steps(given: Any, path: tuple[str, ...]) -> None:
    assert issuer_of(claims={"roles": given}).claims.roles == path


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", [], [""], ["a", ""], "a\u202eb", 5, {"a": "b"}, True])
def test_i_06_a_path_that_leads_nowhere_is_refused(path: Any) -> None:
    _, problem = refused(**idp(claims={"roles": path}))
    assert "callers.issuers[0].claims.roles" in problem


def test_i_13_what_is_verified_is_the_claim_email_and_no_other() -> None:
    """An IdP may say `email_verified` and put what a person likes into `preferred_username`."""
    for path in ("email", "user.email"):
        issuer_of(claims={"email": path})
    issuer_of(claims={"email": "upn"}, require_email_verified=False)
    told("another claim than `email`", "claims", "email", claims={"email": "upn"})


# introspection

ENDPOINT = {"endpoint": "https://idp.example.com/i", "client_id": "gw", "client_secret": "env:TOKEN"}


def asked(**keys: Any) -> dict[str, Any]:
    return {key: value for key, value in {**ENDPOINT, **keys}.items() if value is not None}


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "c4n4ry")


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    tmp_path.chmod(0o700)
    path = tmp_path / "client.pem"
    path.write_text("c4n4ry")
    path.chmod(0o600)
    return f"file:{path}"


@pytest.mark.parametrize("how", [None, "basic", "post"])
def test_a_client_that_proves_itself_by_a_secret_has_one_and_no_key(how: str | None, key_file: str) -> None:
    made = issuer_of(introspection=asked(client_auth=how)).introspection
    assert made is not None
    assert (made.client_auth, made.token_prefix, made.require_audience) == (how or "basic", None, True)
    where = ("introspection", "client_secret")
    told("is missing: add it", *where, introspection=asked(client_auth=how, client_secret=None))
    told("is not used", "introspection", "private_key", introspection=asked(client_auth=how, private_key=key_file))


def test_a_client_that_proves_itself_by_a_key_has_one_and_no_secret(key_file: str) -> None:
    by_key = asked(client_auth="private_key_jwt", private_key=key_file, client_secret=None)
    issuer_of(introspection=by_key)
    told("is not used", "introspection", "client_secret", introspection={**by_key, "client_secret": "env:TOKEN"})
    without = {key: value for key, value in by_key.items() if key != "private_key"}
    told("is missing: add it", "introspection", "private_key", introspection=without)


def test_y_06_a_clients_key_is_a_file_for_its_owner_alone(key_file: str) -> None:
    def by_key(private_key: str) -> dict[str, Any]:
        return asked(client_auth="private_key_jwt", private_key=private_key, client_secret=None)

    issuer_of(introspection=by_key(key_file))
    told("file:PATH", "introspection", "private_key", introspection=by_key("env:TOKEN"))
    told("reference", "introspection", "private_key", introspection=by_key("c4n4ry"))
    told("cannot be read", "introspection", "private_key", introspection=by_key(key_file + ".gone"))
    Path(key_file.removeprefix("file:")).chmod(0o644)
    told("chmod 600", "introspection", "private_key", introspection=by_key(key_file))


@pytest.mark.parametrize(
    ("secret", "says"), [("c4n4ry", "reference"), ("env:GONE", "GONE is not set"), ("file:gone", "is not there")]
)
def test_c_03_a_clients_secret_is_a_reference_that_leads_somewhere(secret: str, says: str) -> None:
    told(says, "introspection", "client_secret", introspection=asked(client_secret=secret))


def test_c_02_an_endpoint_is_http_only_on_loopback_and_only_where_that_is_said() -> None:
    local = asked(endpoint="http://127.0.0.1:9000/i")
    issuer_of(introspection=local, allow_insecure_loopback=True)
    told("allow_insecure_loopback", "introspection", "endpoint", introspection=local)
    told(
        "https", "introspection", "endpoint", introspection=asked(endpoint="http://idp/i"), allow_insecure_loopback=True
    )


def two(first: str | None, second: str | None) -> dict[str, Any]:
    entries = []
    for index, prefix in enumerate((first, second)):
        endpoint = asked(token_prefix=prefix)
        entries.append({"name": f"i{index}", "issuer": f"https://i{index}.example.com", "introspection": endpoint})
    return {"callers": {"issuers": entries}}


@pytest.mark.parametrize(("first", "second"), [(None, "a_"), ("a_", None), ("a_", "b_"), ("a_", "A_")])
def test_n_07_opaque_tokens_of_two_issuers_are_told_apart_by_how_they_begin(first: Any, second: Any) -> None:
    load(**two(first, second))


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [
        (None, None, ("introspection",)),
        ("a_", "a_", ("introspection", "token_prefix")),
        ("a_", "a_b_", ("introspection", "token_prefix")),
        ("a_b_", "a_", ("introspection", "token_prefix")),
    ],
)
def test_n_07_an_opaque_token_is_asked_about_at_one_place_alone(
    first: Any, second: Any, steps: tuple[str, ...]
) -> None:
    written, problem = refused(**two(first, second))
    assert problem.startswith(at(written, "callers", "issuers", 1, *steps))


@pytest.mark.parametrize("prefix", ["csk_", "csk_a", "c", "a b", "å", "a" * 65, ""])
def test_a_prefix_is_none_that_an_api_key_has_and_one_that_a_token_can_have(prefix: str) -> None:
    written, problem = refused(**idp(introspection=asked(token_prefix=prefix)))
    assert problem.startswith(at(written, "callers", "issuers", 0, "introspection", "token_prefix"))


# ---- keys that the operator brings ----

OWN = {"name": "root", "key": "env:ROOT_KEY"}


@pytest.fixture
def root_key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ROOT_KEY", "sk-0123456789abcdef")
    return "sk-0123456789abcdef"


def test_a_key_of_the_operators_own_is_accepted_and_alone_lets_somebody_call(root_key: str) -> None:
    callers = load(callers={"api_keys": False, "own_keys": [OWN]}).callers
    assert callers.own_keys[0].key.resolve().reveal() == root_key
    assert callers.own_keys[0].subject is None


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("sk-1234", "less than 16 characters"),
        ("sk-0123456789abcde", None),
        ("sk 0123456789abcdef", "no header carries"),
        ("sk-0123456789abcdeä", "no header carries"),
        ("csk_0123456789abcdef", "begins with `csk_`"),
        ("", "is empty"),
    ],
)
def test_a_key_that_is_guessed_or_cannot_be_sent_is_refused_without_quoting_it(
    value: str, what: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOT_KEY", value)
    if what is None:
        load(callers={"own_keys": [OWN]})
        return
    written, problem = refused(callers={"own_keys": [OWN]})
    assert problem.startswith(at(written, "callers", "own_keys", 0, "key"))
    assert what in problem
    assert not value or value not in problem


@pytest.mark.parametrize("name", ["", "with space", "k3m9x0a7q2fz", "-x", "a" * 65])
def test_a_name_that_could_be_another_keys_or_nobodys_is_refused(name: str, root_key: str) -> None:
    written, problem = refused(callers={"own_keys": [{**OWN, "name": name}]})
    assert problem.startswith(at(written, "callers", "own_keys", 0, "name"))
    load(callers={"own_keys": [{**OWN, "name": "k3m9x0a7q2f-"}]})


def test_two_keys_of_one_name_are_refused(root_key: str) -> None:
    written, problem = refused(callers={"own_keys": [OWN, OWN]})
    assert problem.startswith(at(written, "callers", "own_keys", 1, "name"))
    load(callers={"own_keys": [OWN, {**OWN, "name": "other"}]})


def test_tokens_need_a_key_only_where_one_can_be_beside_them() -> None:
    written, problem = refused(callers={"tokens_need_key": True})
    assert problem.startswith(at(written, "callers", "tokens_need_key") + "callers.tokens_need_key: needs a header")
    load(callers={"key_header": "x-litellm-api-key", "tokens_need_key": True})
