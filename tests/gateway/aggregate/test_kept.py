"""What is kept of servers' answers, as far as it costs."""

from __future__ import annotations

import time

from counterseal.core.limits import LIMITS
from counterseal.gateway.aggregate.kept import Asked, Kept
from counterseal.wire.aggregate.merged import Introduction
from tests.gateway.building import ALICE
from tests.support.tokens import FixedClock

SAID = Introduction({}, None)


def asked(number: int, server: str = "weather") -> Asked:
    return Asked(server, "tools/list", b"%d" % number, b"alice", ALICE)


def test_a_server_that_always_changes_its_list_costs_no_more_where_much_is_kept() -> None:
    """It says so as often as it likes, and callers say how much is kept: each declares what he likes."""
    kept, most = Kept(FixedClock(), LIMITS), 20_000
    for number in range(most):
        kept.keep(asked(number), SAID, 60_000, shared=False, changes=0)
    began = time.process_time()
    for _ in range(2000):
        kept.changed("hostile", "tools/list")
    assert time.process_time() - began < 0.5, "looking through all that is kept takes seconds"
    assert kept.get(asked(most - 1)) is not None
    kept.changed("weather", "tools/list")
    assert kept.get(asked(most - 1)) is None
    assert kept.size == 0
