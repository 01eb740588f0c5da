"""What a server gives a caller to come back with, sealed so that it is of use to nobody else: the state of a call that asks for
more, and the ids of tasks.

* `requestState` goes back to the server to the byte. What the caller holds is the server's text behind an AEAD box (AES-256-GCM)
  that is over it and over caller, server, method, name and arguments, and that holds the transaction: so the next round of a call
  is known to be one without believing its caller (M-22), and has the same `txn`.
* A task's id is a box over the server's own id and the tool that made it, for one caller and server. So what policy says of the
  tool is said of the task, and another caller's id is as unknown as one that was made up (M-23).

Like sealed session ids they need no table: any worker can open them, and so can the next one (docs/decisions/0003).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from counterseal.clock import Clock
from counterseal.core.call import Call, Era
from counterseal.core.caller import Caller
from counterseal.core.canonical import NotCanonical, arguments_digest
from counterseal.core.limits import Limits
from counterseal.core.permit import Permit
from counterseal.errors import BadCall, ServerError
from counterseal.wire import rounds

_MODERN: Final = Era.MODERN

_HEAD: Final = struct.Struct(
    ">BBQ"
)  # version of this layout, whether the server gave a state, end in seconds since the epoch
_VERSION: Final = 1
_NONCE: Final = 12
_JOINS: Final = "__"
"""Between a server's name and what is its own, as everywhere (wire/aggregate/names.py)."""
_LONGEST: Final = 2048
"""As of every name (wire/envelope.py)."""


class Handles:
    """Seals and opens. key: 32 bytes that all workers share."""

    def __init__(self, key: bytes, clock: Clock, limits: Limits) -> None:
        self._aead = AESGCM(hmac.digest(key, b"counterseal handles", "sha256"))
        self._clock = clock
        self._life = limits.request_state_seconds

    def resume(self, caller: Caller, call: Call) -> Call:
        """The call as its server knows it: with the server's own state and ids, and of the transaction that it goes on with. The
        same object where it brings nothing along. Raises BadCall."""
        if call.era is not _MODERN or call.message is None:
            return call
        params = call.message.get("params", {})
        if call.method in rounds.ROUNDS:
            return self._next_round(caller, call, params) if rounds.STATE in params else call
        if call.method in rounds.TASKS:
            return self._of_task(caller, call, params)
        wanted = params.get("notifications")
        if call.method == "subscriptions/listen" and isinstance(wanted, Mapping) and "taskIds" in wanted:
            return self._of_tasks(caller, call, params, wanted)
        return call

    def of(self, permit: Permit) -> Given:
        """For the answer to a call."""
        return Given(self, permit)

    # ---- the state of a call that goes on ----

    def seal_state(self, permit: Permit, state: str | None) -> str:
        """state: the server's; None where it gave none."""
        about = self._round(permit.caller, permit.call, state or "")
        head = _HEAD.pack(_VERSION, state is not None, int(self._clock.wall()) + self._life)
        box = self._seal(head + str(permit.claims["txn"]).encode(), about)
        return box if state is None else f"{box}.{state}"

    def _next_round(self, caller: Caller, call: Call, params: Mapping[str, Any]) -> Call:
        text = params[rounds.STATE]
        if not isinstance(text, str):
            _no_state()
        box, dot, state = text.partition(".")
        plain = self._open(box, self._round(caller, call, state))
        if plain is None or len(plain) <= _HEAD.size:
            _no_state()
        version, given, end = _HEAD.unpack_from(plain)
        if version != _VERSION or bool(given) != bool(dot) or end <= self._clock.wall():
            _no_state()
        kept = {key: value for key, value in params.items() if key != rounds.STATE}
        params = {**kept, rounds.STATE: state} if given else kept
        return _with_params(call, params, txn=plain[_HEAD.size :].decode())

    @staticmethod
    def _round(caller: Caller, call: Call, state: str) -> bytes:
        """What one round's state is bound to."""
        asked = call.arguments if call.asked is None else call.asked
        try:
            digest = arguments_digest(asked or {})
        except NotCanonical as error:
            raise BadCall("invalid_params", f"the arguments cannot be bound into a token: {error}") from None
        return _bound("state", caller, call.server, call.method, call.name or "", digest, state)

    # ---- tasks ----

    def seal_task(self, caller: Caller, call: Call, identity: str) -> str:
        """identity: the server's, for a task that this call made. Raises ServerError for one that cannot be carried."""
        if not identity:
            raise _no_id()
        plain = msgspec.json.encode([_VERSION, call.name or "", identity])
        text = f"{call.server}{_JOINS}{self._seal(plain, _bound('task', caller, call.server))}"
        if len(text) > _LONGEST:
            raise _no_id()
        return text

    def _task(self, caller: Caller, server: str, text: Any) -> tuple[str, str, str]:
        """The tool that made a task, its id at the server, and the caller's text for it. Raises BadCall, for every cause with the
        same text."""
        prefix = server + _JOINS
        box = text.removeprefix(prefix) if isinstance(text, str) else ""
        plain = self._open(box, _bound("task", caller, server))
        if plain is None:
            raise BadCall("invalid_params", "there is no such task for this caller")
        _, tool, identity = msgspec.json.decode(plain, type=tuple[int, str, str])
        return tool, identity, prefix + box

    def _of_task(self, caller: Caller, call: Call, params: Mapping[str, Any]) -> Call:
        rounds.declared_tasks(call)
        tool, identity, text = self._task(caller, call.server, params.get("taskId"))
        return _with_params(call, {**params, "taskId": identity}, name=identity, tools=(tool,), tasks={identity: text})

    def _of_tasks(self, caller: Caller, call: Call, params: Mapping[str, Any], wanted: Mapping[str, Any]) -> Call:
        listed = wanted["taskIds"]
        if not isinstance(listed, list):
            raise BadCall("invalid_params", "`params.notifications.taskIds` is not a list")
        rounds.declared_tasks(call)
        found = [self._task(caller, call.server, text) for text in listed]
        tasks = {identity: text for _, identity, text in found}
        params = {**params, "notifications": {**wanted, "taskIds": list(tasks)}}
        return _with_params(call, params, tools=tuple({tool for tool, _, _ in found}), tasks=tasks)

    # ---- boxes ----

    def _seal(self, plain: bytes, about: bytes) -> str:
        nonce = os.urandom(_NONCE)
        return base64.urlsafe_b64encode(nonce + self._aead.encrypt(nonce, plain, about)).rstrip(b"=").decode()

    def _open(self, text: str, about: bytes) -> bytes | None:
        try:
            box = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if base64.urlsafe_b64encode(box).rstrip(b"=").decode() != text:
                return None
            return self._aead.decrypt(box[:_NONCE], box[_NONCE:], about)
        except (binascii.Error, ValueError, InvalidTag):
            return None


class Given:
    """What one answer's caller gets in place of what the server gave."""

    def __init__(self, handles: Handles, permit: Permit) -> None:
        self._handles = handles
        self._permit = permit

    def state(self, state: str | None) -> str:
        """For a call that asks for more. state: the server's."""
        return self._handles.seal_state(self._permit, state)

    def task(self, identity: str) -> str:
        """For a task that the call made. Raises ServerError."""
        return self._handles.seal_task(self._permit.caller, self._permit.call, identity)


def _bound(kind: str, caller: Caller, *parts: str) -> bytes:
    """Every part, none of which can be taken for another, in 32 bytes."""
    texts = [kind.encode(), caller.fingerprint(), *(part.encode("utf-8", "surrogatepass") for part in parts)]
    return hashlib.sha256(b"".join(len(text).to_bytes(8, "big") + text for text in texts)).digest()


def _with_params(call: Call, params: Mapping[str, Any], **changes: Any) -> Call:
    return msgspec.structs.replace(call, message={**(call.message or {}), "params": params}, **changes)


def _no_id() -> ServerError:
    detail = "a task whose id is missing, or longer than a name may be"
    return ServerError("server_answer_invalid", "the server's answer is not valid", detail=detail)


def _no_state() -> NoReturn:
    raise BadCall(
        "invalid_params",
        "`requestState` is none that this caller got for this call, or its time is over: call without it",
    )
