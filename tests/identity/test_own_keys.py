"""Keys that the operator brings."""

from __future__ import annotations

import gc

import pytest

from counterseal.core.call import Inbound
from counterseal.identity.own_keys import OwnKeys

KEY = b"sk-0123456789abcdef"
INBOUND = Inbound("POST", "weather", (), b"", "192.0.2.7")


def keys() -> OwnKeys:
    return OwnKeys([("root", KEY.decode(), "alice"), ("other", "sk-fedcba9876543210", "bob")], b"p" * 32)


async def test_who_sends_a_key_is_its_holder() -> None:
    caller = await keys().authenticate(KEY, INBOUND)
    assert caller is not None
    assert (caller.kind, caller.client_id, caller.subject) == ("api_key", "root", "alice")
    assert dict(caller.fields) == {"sub": "alice", "user_id": "alice"}
    other = await keys().authenticate(b"sk-fedcba9876543210", INBOUND)
    assert other is not None
    assert other.client_id == "other"


@pytest.mark.parametrize("presented", [b"", KEY[:-1], KEY + b"0", KEY.upper(), b"sk-0123456789abcdee", b"a.b.c"])
async def test_anything_else_is_nobodys(presented: bytes) -> None:
    assert await keys().authenticate(presented, INBOUND) is None


def test_the_key_itself_is_not_kept() -> None:
    kept = keys()
    texts = [one for one in gc.get_referents(*gc.get_referents(kept)) if isinstance(one, str | bytes)]
    assert KEY not in texts
    assert KEY.decode() not in texts
    assert KEY.decode() not in repr(vars(kept))
