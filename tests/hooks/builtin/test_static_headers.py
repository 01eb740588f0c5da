"""`static_headers`: headers from the configuration, as references."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.hooks import Additions, Offered
from counterseal.hooks.builtin.static_headers import StaticHeaders
from counterseal.hooks.testing import offered as offer
from counterseal.hooks.testing import view
from tests.contracts.hook import HookContract

SECRETS = {"env:TENANT": "north", "file:key": "c4n4ry", "env:TWO_LINES": "c4n4ry\r\nX-Evil: 1", "env:LONG": "x" * 2049}


class TestContract(HookContract):
    use = "static_headers"

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"headers": {"X-Tenant": "env:TENANT"}}

    @pytest.fixture
    def offered(self) -> Offered:
        return offer(secrets=SECRETS)


def made(headers: Any) -> StaticHeaders:
    return StaticHeaders(headers=headers, offered=offer(secrets=SECRETS))


async def test_each_call_gets_what_the_references_lead_to() -> None:
    source = made({"X-Tenant": "env:TENANT", "X-Key": "file:key"})
    assert await source.claims(view()) == Additions(headers=(("X-Tenant", "north"), ("X-Key", "c4n4ry")))
    assert "c4n4ry" not in repr(await source.claims(view()))


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "must be a mapping"),
        (None, "must be a mapping"),
        ({"X-A": "c4n4ry"}, "there is no such secret"),
        ({"X-A": 5}, "no reference to a secret"),
        ({"X-A": "env:TWO_LINES"}, "not one line of printable ASCII"),
        ({"X-A": "env:LONG"}, "more than 2048 bytes"),
        ({"Authorization": "env:TENANT"}, "the gateway alone writes"),
        ({"Mcp-Method": "env:TENANT"}, "the gateway alone writes"),
        ({"X A": "env:TENANT"}, "no name of a header"),
        ({"X-A": "env:TENANT", "x-a": "env:TENANT"}, "twice"),
        ({f"X-{number}": "env:TENANT" for number in range(21)}, "more than 20"),
    ],
)
def test_c_03_p_04_what_could_not_be_sent_keeps_the_gateway_from_starting(headers: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as told:
        made(headers)
    assert "c4n4ry" not in str(told.value)
