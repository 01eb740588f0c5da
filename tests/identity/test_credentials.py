"""The one credential of a request: where it may stand, how it may be spelled, and that there is only one."""

from __future__ import annotations

import pytest

from counterseal.core.call import Inbound
from counterseal.errors import BadCall, CallError, Unauthenticated
from counterseal.identity.credentials import REFUSED, Sent, credential, every

AUTHORIZATION, KEY = b"authorization", b"x-api-key"


def inbound(*headers: tuple[bytes, bytes]) -> Inbound:
    return Inbound("POST", "weather", headers, b"", "192.0.2.7")


def refused(*headers: tuple[bytes, bytes]) -> CallError:
    with pytest.raises(CallError) as told:
        credential(inbound(*headers))
    return told.value


@pytest.mark.parametrize(
    ("header", "presented"),
    [
        ((AUTHORIZATION, b"Bearer csk_abc"), b"csk_abc"),
        ((AUTHORIZATION, b"bearer csk_abc"), b"csk_abc"),
        ((AUTHORIZATION, b"BEARER csk_abc"), b"csk_abc"),
        ((AUTHORIZATION, b"Bearer a.b-c_d~e+f/g=="), b"a.b-c_d~e+f/g=="),
        ((KEY, b"csk_abc"), b"csk_abc"),
    ],
)
def test_j_27_one_credential_is_taken_as_it_is_and_the_scheme_in_any_case(
    header: tuple[bytes, bytes], presented: bytes
) -> None:
    assert credential(inbound(header)) == Sent(presented)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"csk_abc",
        b"Bearer  csk_abc",
        b"Bearer\tcsk_abc",
        b" Bearer csk_abc",
        b"Bearer csk_abc ",
        b"Bearer csk_abc, Bearer csk_def",
        b"Bearer csk_abc,csk_def",
        b"Bearer csk_abc csk_def",
        b"Bearer csk_abc\n",
        b"Bearer csk_abc\x00",
        b"Bearer csk=abc",
        b"Bearer =",
        b"Bearer csk_\xc3\xa4",
        b"Bearer \xd9\xa1\xd9\xa2",
        b"Basic YTpi",
        b"DPoP csk_abc",
        b"Bearer-csk_abc",
        b"XBearer csk_abc",
        b'Bearer "csk_abc"',
    ],
)
def test_j_27_a_credential_that_is_not_of_the_form_proves_nothing(value: bytes) -> None:
    error = refused((AUTHORIZATION, value))
    assert isinstance(error, Unauthenticated)
    assert (error.reason.code, error.message) == ("credential_invalid", REFUSED)


@pytest.mark.parametrize("value", [b"", b" ", b"csk_abc csk_def", b"csk_abc,csk_def", b"\xc3\xa4", b"a=b", b"\x00"])
def test_j_27_an_api_key_header_holds_one_key_and_nothing_else(value: bytes) -> None:
    assert refused((KEY, value)).reason.code == "credential_invalid"


@pytest.mark.parametrize(
    "headers",
    [
        [(AUTHORIZATION, b"Bearer csk_abc"), (AUTHORIZATION, b"Bearer csk_def")],
        [(AUTHORIZATION, b"Bearer csk_abc"), (AUTHORIZATION, b"Bearer csk_abc")],
        [(AUTHORIZATION, b"Bearer csk_abc"), (AUTHORIZATION, b"")],
        [(KEY, b"csk_abc"), (KEY, b"csk_abc")],
        [(AUTHORIZATION, b"Bearer csk_abc"), (KEY, b"csk_abc")],
        [(AUTHORIZATION, b"Basic YTpi"), (KEY, b"csk_abc")],
    ],
)
def test_a_08_j_27_more_than_one_credential_is_400_whatever_they_hold(headers: list[tuple[bytes, bytes]]) -> None:
    error = refused(*headers)
    assert isinstance(error, BadCall)
    assert (error.reason.code, error.reason.status) == ("ambiguous_credentials", 400)


@pytest.mark.parametrize(
    "header",
    [
        (b"cookie", b"authorization=Bearer csk_abc; access_token=csk_abc"),
        (b"proxy-authorization", b"Bearer csk_abc"),
        (b"x-authorization", b"Bearer csk_abc"),
        (b"authorization_", b"Bearer csk_abc"),
        (b"x_api_key", b"csk_abc"),
        (b"x-forwarded-user", b"alice"),
        (b"x-litellm-api-key", b"sk-abc"),
        (b"x-original-url", b"/mcp/weather?access_token=csk_abc"),
    ],
)
def test_j_27_nothing_but_the_two_headers_counts(header: tuple[bytes, bytes]) -> None:
    assert credential(inbound(header)) == Sent(None)
    assert credential(inbound(header, (KEY, b"csk_abc"))) == Sent(b"csk_abc")


def test_a_refusal_quotes_nothing_of_what_was_sent() -> None:
    error = refused((AUTHORIZATION, b"Bearer secret-canary secret-canary"))
    assert "canary" not in f"{error!r} {error.message} {error.detail} {error.data} {error.headers}"


BESIDE = b"x-litellm-api-key"


@pytest.mark.parametrize("value", [b"sk-abc", b"Bearer sk-abc", b"bearer sk-abc"])
def test_a_key_may_be_in_a_header_of_its_own_where_that_is_configured(value: bytes) -> None:
    assert credential(inbound((BESIDE, value)), BESIDE) == Sent(b"sk-abc")
    assert credential(inbound((BESIDE, value))) == Sent(None)


def test_what_is_in_authorization_then_is_beside_the_key_and_the_same_key_again_is_nothing() -> None:
    key, token = (BESIDE, b"sk-abc"), (AUTHORIZATION, b"Bearer a.b.c")
    assert credential(inbound(key, token), BESIDE) == Sent(b"sk-abc", b"a.b.c")
    assert credential(inbound(key, (AUTHORIZATION, b"Bearer sk-abc")), BESIDE) == Sent(b"sk-abc")
    assert credential(inbound(token), BESIDE) == Sent(b"a.b.c")
    assert list(every(inbound(key, token), BESIDE)) == [b"sk-abc", b"a.b.c"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (((BESIDE, b"sk-abc"), (BESIDE, b"sk-abc")), "ambiguous_credentials"),
        (((BESIDE, b"sk-abc"), (KEY, b"csk_abc")), "ambiguous_credentials"),
        (((BESIDE, b"sk-abc"), (AUTHORIZATION, b"Bearer a"), (AUTHORIZATION, b"Bearer b")), "ambiguous_credentials"),
        (((BESIDE, b"Basic sk-abc"),), "credential_invalid"),
        (((BESIDE, b"sk-abc"), (AUTHORIZATION, b"Basic YTpi")), "credential_invalid"),
    ],
)
def test_j_27_more_than_a_key_and_a_token_is_refused(headers: tuple[tuple[bytes, bytes], ...], reason: str) -> None:
    with pytest.raises(CallError) as told:
        credential(inbound(*headers), BESIDE)
    assert told.value.reason.code == reason
