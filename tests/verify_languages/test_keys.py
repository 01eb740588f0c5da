"""How the servers in other languages come by the gateway's keys."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.support.jwks_server import Handler
from tests.support.tokens import encode, jwk, jwks, private_key, sign
from tests.verify_languages.languages import Language, parametrized
from tests.verify_languages.running import Minted, Running, running


@parametrized
def test_however_many_calls_wait_one_fetch_runs_and_there_is_none_before_the_first_call(language: Language) -> None:
    with running(language) as server:
        assert server.keys.count == 0
        server.keys.gate.clear()
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(server.ask, server.weather()) for _ in range(8)]
            while server.keys.count == 0:
                threading.Event().wait(0.01)
            server.keys.gate.set()
            assert [call.result().status for call in calls] == [200] * 8
        assert server.keys.paths == ["/.well-known/jwks.json"]


@parametrized
def test_a_key_that_is_not_there_causes_one_fetch_and_no_more_within_the_pause(language: Language) -> None:
    with running(language) as server:
        assert server.ask(server.weather()).status == 200
        server.keys.document = {
            "keys": [*jwks("ES256")["keys"], jwk(private_key("ES256", "next"), kid="next", alg="ES256", use="sig")]
        }
        assert server.keys.count == 1
        assert server.ask(_by_the_next_key(server)).status == 200
        assert server.keys.count == 2
        for _ in range(3):
            unknown = server.weather(header={"kid": "nobody's"})
            said = server.ask(unknown)
            assert (said.status, said.reason) == (401, "invalid_token")
            assert server.was_called_by(unknown.subject) == []
        assert server.keys.count == 2


def _by_the_next_key(server: Running) -> Minted:
    usual = server.weather(header={"kid": "next"})
    data = usual.text.rpartition(".")[0]
    return Minted(f"{data}.{encode(sign('ES256', data.encode(), private_key('ES256', 'next')))}", usual.subject)


@parametrized
def test_while_no_keys_can_be_had_nobody_can_tell_and_then_calls_pass_again(language: Language) -> None:
    with running(language) as server:
        server.keys.fail(500)
        said = server.ask(server.weather())
        assert (said.status, said.reason, said.message["error"]["code"]) == (503, "unavailable", 50350)
        assert "retry-after" in said.headers
        server.keys.recover()
        deadline = time.monotonic() + 60
        while (said := server.ask(server.weather())).status == 503 and time.monotonic() < deadline:
            threading.Event().wait(0.1)
        assert said.status == 200


@parametrized
def test_a_key_that_is_not_known_proves_nothing_while_the_keys_cannot_be_had(language: Language) -> None:
    with running(language) as server:
        assert server.ask(server.weather()).status == 200
        server.keys.fail(500)
        assert server.ask(server.weather(header={"kid": "nobody's"})).status == 503
        assert server.ask(server.weather()).status == 200


@parametrized
def test_keys_are_taken_from_nowhere_else(language: Language) -> None:
    """A redirect is not followed: the address is what the owner wrote."""
    with running(language) as server, running(language) as other:
        server.keys.fail(302, Location=other.keys.url)
        assert server.ask(server.weather()).status == 503
        assert other.keys.count == 0


@parametrized
def test_keys_that_never_come_whole_are_waited_for_as_long_as_a_fetch_may_take(language: Language) -> None:
    """Else every call after the first would wait for the same fetch, and none would be answered."""
    over = threading.Event()

    def stall(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "500")
        handler.end_headers()
        handler.wfile.write(b"{")
        over.wait(100)

    with running(language) as server:
        server.keys.answer = stall
        begun = time.monotonic()
        try:
            assert server.ask(server.weather()).status == 503
        finally:
            over.set()
        assert time.monotonic() - begun < 60
