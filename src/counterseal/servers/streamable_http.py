"""Streamable HTTP servers, in both eras: the request is built from the permit, the answer is streamed through.

Nothing of the caller's request is copied. The body is written from the decoded call, the headers from an allow-list and from
the body, and a modern request goes out under an id of ours, so that a server that mixes up its callers is found out instead of
believed (M-07). A caller who leaves ends the server's request at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Final

from msgspec import Raw

from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.methods import METHODS
from counterseal.core.permit import Permit
from counterseal.core.reply import Headers, Reply
from counterseal.errors import BadCall, CallError
from counterseal.httpclient import Target
from counterseal.servers.crossing import Crossing, Refusal, Told
from counterseal.servers.event_body import EventBody
from counterseal.servers.http import Http, Request, Response
from counterseal.servers.learned import Learned
from counterseal.servers.link import invalid, refused, stream_seconds
from counterseal.servers.session import Sessions
from counterseal.wire import headers as wire_headers
from counterseal.wire import jsonrpc
from counterseal.wire.answer import Answer, NotAnAnswer
from counterseal.wire.envelope import OURS

_MODERN: Final = Era.MODERN
_NOTIFICATION: Final = Shape.NOTIFICATION
_REQUEST: Final = Shape.REQUEST

_BOTH: Final = "application/json, text/event-stream"
_JSON: Final = ((b"content-type", b"application/json"),)
_EVENTS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_UNREAD: Final = frozenset({401, 403, 407})
_REGISTERED: Final = frozenset(status.value for status in HTTPStatus)
_UNANSWERED: Final = frozenset({Shape.NOTIFICATION, Shape.REPLY, Shape.END})

Decide = Callable[[Caller, Call, str, str, bytes | Raw], bool]
"""Whether this caller is shown, by this call, an item that is used by this method, of this name, with this JSON text."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One configured server. header: where the call token goes. static: its own credentials, names in their own case."""

    name: str
    url: str
    header: str
    static: Sequence[tuple[str, str]] = field(repr=False)
    user_agent: str


class StreamableHttp:
    """Sends permits to one server."""

    def __init__(
        self, destination: Destination, http: Http, sessions: Sessions, decide: Decide, limits: Limits
    ) -> None:
        self._destination = destination
        self._target = Target(destination.url)
        self._http = http
        self._sessions = sessions
        self._decide = decide
        self._limits = limits
        self._static = (
            ("User-Agent", destination.user_agent),
            ("Accept-Encoding", "identity"),
            *destination.static,
        )
        self._learned = Learned(destination.name, limits)

    def schema(self, tool: str) -> Mapping[wire_headers.Path, str] | None:
        """What a tool mirrors into headers, as the server's lists showed it so far; None where no list named the tool."""
        return self._learned.schema(tool)

    def input_schema(self, tool: str) -> bytes | None:
        """The JSON text of a tool's inputSchema, as `ToolSchemas.get` has it."""
        return self._learned.input_schema(tool)

    def healthy(self) -> None:
        """Nothing is known between calls."""

    async def close(self) -> None:
        """Connections are the client's."""

    async def send(self, permit: Permit) -> Reply:
        """One call. Raises ServerError, or BadCall where the server says that the session has ended.

        The caller of this iterates or closes a stream in the reply, whatever happens.
        """
        outcome = await self.exchange(permit)
        return outcome if isinstance(outcome, Reply) else self.refused(permit.call, outcome)

    async def exchange(self, permit: Permit, crossing: Crossing | None = None) -> Reply | Refusal:
        """One call, as `send`, with what the server refuses told apart. crossing: the call goes out in the other era."""
        try:
            outcome = await self._exchange(permit, crossing)
        except BaseException as error:
            if crossing is not None:
                # Whoever left, or waited for too long, tells the server so; a server that failed is told nothing.
                crossing.end(answered=isinstance(error, CallError) and error.reason.code != "server_timeout")
            raise
        if crossing is not None and (isinstance(outcome, Refusal) or isinstance(outcome.body, bytes)):
            crossing.end(answered=True)
        return outcome

    async def _exchange(self, permit: Permit, crossing: Crossing | None) -> Reply | Refusal:
        call = permit.call
        if call.era is _MODERN and call.shape is _NOTIFICATION:
            # Revision 2026-07-28 has no notifications of clients over HTTP: taken and dropped. A `cancelled` with an id that
            # the caller chose could otherwise end another caller's call.
            return Reply(202, (), b"", note="dropped: a notification that its revision does not carry")
        listens = METHODS[call.method].stream
        # A subscription's messages all carry the id of their request, so that one stays.
        renamed = crossing is not None or (call.era is _MODERN and not listens)
        sent_id = permit.claims["jti"] if renamed else call.id
        answer = self._answer(permit, sent_id)
        sent = call if crossing is None else crossing.call
        seconds = stream_seconds(permit, self._limits) if listens else None
        response = await self._http.send(self._request(permit, sent, sent_id, seconds))
        try:
            if not 200 <= response.status < 300:
                return await self._refusal(response)
            return await self._reply(permit, answer, response, listens, crossing)
        except NotAnAnswer as error:
            response.abort()
            raise invalid(str(error)) from None
        except BaseException:
            response.abort()
            raise

    async def ask(self, permit: Permit) -> Told | Refusal:
        """A request of the gateway's own, and the whole response. Raises ServerError."""
        sent_id = permit.claims["jti"]
        answer = self._answer(permit, sent_id)
        response = await self._http.send(self._request(permit, permit.call, sent_id, None))
        try:
            if not 200 <= response.status < 300:
                return await self._refusal(response)
            message = await self._response(answer, response)
            return Told(message, response.header(b"mcp-session-id"))
        except NotAnAnswer as error:
            raise invalid(str(error)) from None
        finally:
            response.abort()

    async def follow(self, permit: Permit) -> Response:
        """The rest of a stream, by a request of the gateway's own, which has the time of a call. Raises ServerError."""
        response = await self._http.send(self._request(permit, permit.call, None, None))
        try:
            if response.status != 200 or self._media(response) != "text/event-stream":
                raise invalid("the stream ended without a response, and cannot be followed")
        except NotAnAnswer as error:
            response.abort()
            raise invalid(str(error)) from None
        except BaseException:
            response.abort()
            raise
        return response

    async def _response(self, answer: Answer, response: Response) -> bytes:
        media = self._media(response)
        if media == "application/json":
            message = answer.message(await response.read(self._limits.server_answer_bytes))
            if not answer.ended:
                raise NotAnAnswer("not a response")
            self._learned.take(answer)
            return message
        if media != "text/event-stream":
            raise NotAnAnswer(f"an answer of type {media[:80]!r}")
        events = EventBody(answer, response, self._limits, False, self._learned.take)
        await events.read_until_answered()
        return events.response

    def _answer(self, permit: Permit, sent_id: str | int | None) -> Answer:
        visible = partial(self._decide, permit.caller, permit.call)
        return Answer(permit.call, sent_id, visible, self._sessions.handles.of(permit))

    def request_headers(self, permit: Permit) -> Sequence[tuple[str, str]]:
        """The headers that `send` would send, in their order. It sends nothing, and they hold the token and the server's own
        credentials."""
        return self._request(permit, permit.call, None, None).headers

    def _request(self, permit: Permit, call: Call, sent_id: str | int | None, listens_seconds: float | None) -> Request:
        """call: that of the permit, in the era of the server."""
        token = permit.token
        place = self._destination.header
        headers = [
            (place, f"Bearer {token}" if place.lower() == "authorization" else token),
            *self._static,
        ]
        body = None
        verb = "POST"
        if call.message is not None:
            # Only our own requests have an id of ours; a caller's reply has the id of the server's request.
            renamed = call.shape is _REQUEST and sent_id != call.id
            body = jsonrpc.write({**call.message, "id": sent_id} if renamed else call.message)
            headers += [("Content-Type", "application/json"), ("Accept", _BOTH)]
        elif call.shape is Shape.END:
            verb = "DELETE"
        else:
            verb = "GET"
            headers.append(("Accept", "text/event-stream"))
        if call.era is _MODERN:
            headers += [("MCP-Protocol-Version", call.revision), ("Mcp-Method", call.method)]
            if call.name is not None and METHODS[call.method].name_field is not None:
                headers.append(("Mcp-Name", wire_headers.encode_value(call.name)))
            headers += call.param_headers
        else:
            if call.method != "initialize":
                headers.append(("MCP-Protocol-Version", call.revision))
            if call.session is not None:
                headers.append(("Mcp-Session-Id", call.session.server_id))
            if call.last_event_id is not None:
                headers.append(("Last-Event-ID", call.last_event_id))
        # An id that a caller chose is that of other callers' calls, too, so it does not tell whose answer comes.
        owner = None if call.era is _MODERN and sent_id != call.id else permit.caller.fingerprint()
        return Request(verb, self._target, permit.beside(headers), body, listens_seconds, permit.caller, owner)

    async def _reply(
        self, permit: Permit, answer: Answer, response: Response, listens: bool, crossing: Crossing | None
    ) -> Reply:
        call, status = permit.call, 200  # whatever success it was: 204 with an answer would be read as two
        if call.shape in _UNANSWERED:
            if (response.header(b"content-type") or "").startswith("text/event-stream"):
                response.abort()
            else:
                await response.read(self._limits.server_answer_bytes)  # and drop: so that the connection can be kept
            ended = _registered(response.status) if call.shape is Shape.END else 202
            return Reply(ended, self._session_header(call), b"")
        media = self._media(response)
        if media == "application/json" and call.shape is _REQUEST and not listens:
            body = answer.message(await response.read(self._limits.server_answer_bytes))
            if not answer.ended:
                raise NotAnAnswer("not a response")
            self._learned.take(answer)
            if crossing is not None:
                body = crossing.finish(body)
                status = crossing.status(body)
            headers = (*_JSON, *self._opened(permit, answer, response))
            return Reply(status, headers, body, is_error=answer.is_error)
        if media != "text/event-stream":
            raise NotAnAnswer(f"an answer of type {media[:80]!r}")
        events = EventBody(answer, response, self._limits, listens, self._learned.take, crossing)
        if call.method != "initialize":
            return Reply(status, (*_EVENTS, *self._session_header(call)), events)
        # The session's id stands in a header and holds the revision that the body negotiates: read that far first.
        await events.read_until_answered()
        return Reply(status, (*_EVENTS, *self._opened(permit, answer, response)), events)

    @staticmethod
    def _media(response: Response) -> str:
        if (response.header(b"content-encoding") or "identity") != "identity":
            raise NotAnAnswer("a content coding that was not asked for")
        return (response.header(b"content-type") or "").partition(";")[0].strip().lower()

    def _opened(self, permit: Permit, answer: Answer, response: Response) -> Headers:
        server_id = response.header(b"mcp-session-id")
        if answer.revision is None or server_id is None:
            return self._session_header(permit.call)
        if server_id.startswith(OURS):
            raise NotAnAnswer("a session id that only the gateway gives")
        session = self._sessions.seal(permit.caller, permit.call.server, server_id, answer.revision)
        return ((b"mcp-session-id", session.sealed.encode()),)

    @staticmethod
    def _session_header(call: Call) -> Headers:
        return () if call.session is None else ((b"mcp-session-id", call.session.sealed.encode()),)

    async def _refusal(self, response: Response) -> Refusal:
        media = (response.header(b"content-type") or "").partition(";")[0].strip().lower()
        # A challenge is never passed on, and what is no JSON cannot be: neither is read.
        if media != "application/json" or response.status in _UNREAD or not 400 <= response.status < 600:
            response.abort()
            return Refusal(response.status, None)
        return Refusal(response.status, await response.read(self._limits.server_answer_bytes))

    def refused(self, call: Call, refusal: Refusal) -> Reply:
        """A status that is not 2xx, as the caller gets it. A JSON-RPC error in it is passed on; challenges and addresses in it
        never are. Raises CallError."""
        status = refusal.status
        if status == 404 and call.session is not None:
            raise BadCall("session_unknown", "the server has ended the session: send `initialize` again")
        if status == 405 and call.shape in (Shape.STREAM, Shape.END):
            raise BadCall("http_method_refused", "the server does not offer this", headers=((b"allow", b"POST"),))
        if refusal.body is None or status in _UNREAD or not 400 <= status < 600:
            raise refused(status)
        try:
            body = Answer(call, None, lambda *_: False).refusal(refusal.body)
        except NotAnAnswer as error:
            raise invalid(str(error)) from None
        return Reply(
            _registered(status) if status < 500 else 502,
            _JSON,
            body,
            is_error=True,
            note=f"the server answered {status}",
        )


def _registered(status: int) -> int:
    """What a status means to those who do not know it: the first of its class (RFC 9110 section 15)."""
    return status if status in _REGISTERED else status // 100 * 100
