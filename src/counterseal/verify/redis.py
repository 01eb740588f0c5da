"""Single use for several processes or machines that serve one audience, in a Redis that they share.

    single_use = RedisSingleUse(redis.Redis.from_url("redis://127.0.0.1:6379", socket_timeout=1, socket_connect_timeout=1))
    verifier = Verifier(issuer=..., audience=..., single_use=single_use)

One `SET` with `NX` decides, so of two claims at once one wins. Redis is told for how long to remember a token, not until when:
one whose clock is ahead would forget a token that lives. It must not throw keys away by itself (`maxmemory-policy noeviction`).
Where it cannot write, cannot be reached or is slow, nobody can tell, and no call passes.
"""

from __future__ import annotations

import math
import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol

from counterseal.clock import Clock, SystemClock
from counterseal.verify.errors import CannotVerify

_MARGIN: Final = 60.0
"""Seconds for which a token is remembered beyond its end, for a clock that is set back (J-16)."""


class Client(Protocol):
    """What is used of `redis.Redis`."""

    def set(self, name: str, value: str, *, px: int, nx: bool) -> Any:
        """True where it was set, None where the name was there. Blocks; raises where it cannot tell."""
        ...

    def get(self, name: str) -> Any:
        """The value as bytes or text; None where there is none."""
        ...


class RedisSingleUse:
    """client: a `redis.Redis` with timeouts. prefix: of the names in Redis. threads: that wait for answers at once; when as many
    claims as `most_waiting` wait for one of these, the next one fails at once.
    """

    def __init__(
        self,
        client: Client,
        *,
        prefix: str = "counterseal:used:",
        clock: Clock | None = None,
        threads: int = 8,
        most_waiting: int = 512,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock or SystemClock()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="counterseal-redis")
        self._room = threading.BoundedSemaphore(threads + most_waiting)

    def claim(self, jti: str, expires: float) -> Future[bool]:
        """See `SingleUse`."""
        if not self._room.acquire(blocking=False):
            raise CannotVerify("too many claims wait for Redis")
        try:
            answer = self._threads.submit(self._claim, jti, expires)
        except BaseException:
            self._room.release()
            raise
        answer.add_done_callback(lambda _: self._room.release())
        return answer

    def _claim(self, jti: str, expires: float) -> bool:
        life = max(0.0, expires - self._clock.wall()) + _MARGIN
        name, mine = self._prefix + jti, secrets.token_hex(8)
        answer = self._client.set(name, mine, px=math.ceil(life * 1000), nx=True)
        if answer is True:
            return True
        if answer:  # an asynchronous client has asked nothing yet, and a client in a transaction neither
            raise CannotVerify(
                f"Redis answered with {type(answer).__name__}: use `redis.Redis`, not its asynchronous twin"
            )
        # A client that lost the answer asks again by itself, and then finds what it wrote.
        return self._client.get(name) in (mine, mine.encode())
