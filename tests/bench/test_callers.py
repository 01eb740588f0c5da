"""The kinds of caller that the bench compares: each is let in by a real gateway, and each can be told in this process."""

from __future__ import annotations

from pathlib import Path

from bench.idp import IdentityProvider
from bench.machine import Cores
from bench.report import ANONYMOUS, API_KEY, CACHED, CACHED_MANY, CHECK, NEW

from bench import __main__ as bench
from bench import callers, processes


def test_every_kind_of_caller_is_let_in_and_can_be_told_alone(tmp_path: Path) -> None:
    cores = Cores.of_this_machine()
    with IdentityProvider() as idp, processes.answering_server(cores.answer, tmp_path) as answer:
        who = callers.configuration(idp)
        with processes.gateway(answer.url, cores.tested, tmp_path / "gateway", who) as started:
            parties = callers.parties(started, idp)
            assert [party.name for party in parties] == [ANONYMOUS, API_KEY, CACHED, NEW]
            for party in parties[:-1]:
                bench._check(party)
            assert parties[-1].new_tokens is not None
            new = list(parties[-1].new_tokens(3))
            assert len(set(new)) == 3
            alone = callers.identifying(started, idp, cores.tested, repeats=2)
    assert set(alone) == {ANONYMOUS, API_KEY, CACHED, CACHED_MANY, NEW, CHECK}
    # A cached token is not checked again; how long it takes is for `make bench`.
    assert max(alone[CACHED], alone[CACHED_MANY]) < alone[CHECK] < alone[NEW]
