"""One HTTP request becomes one Call, or a refusal with the status and the code that MCP gives it.

The era is told from the body first: a request that carries `_meta["io.modelcontextprotocol/protocolVersion"]`
is modern whatever its headers say, and must then agree with them. What has neither that nor a modern version header is
legacy. The rungs of the modern ladder have numbers, which tests go by; 1 to 4 need a socket or a credential and are climbed by
web/ and identity/ before this.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from counterseal.core.call import Call, Era, Inbound, Session, Shape
from counterseal.core.limits import Limits
from counterseal.core.methods import END_SESSION, LEGACY, METHODS, MODERN, REPLY, STREAM, SUPPORTED, Kind, Method
from counterseal.core.operation import operation_of
from counterseal.errors import BadCall
from counterseal.wire import headers, jsonrpc

_MODERN: Final = Era.MODERN
_REQUEST: Final = Shape.REQUEST

VERSION: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
OURS: Final = "io.counterseal/"
"""The prefix of our own `_meta` keys, whose copies a caller may not send, and of the pseudo methods (core/methods.py)."""

NAME_LENGTH: Final = 2048
"""Of a tool, prompt or resource. Names go into tokens and records."""
_OLDEST: Final = "2024-11-05"
_HANDSHAKE: Final = frozenset({_OLDEST, *LEGACY})
_JSON: Final = re.compile(r"application/json(?:\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)
# W3C Trace Context: version ff and ids of zeros alone are invalid.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

OpenSession = Callable[[str], Session]
"""Opens a sealed session id for this caller and server; raises BadCall `session_unknown`."""

Schemas = Callable[[str], "Mapping[headers.Path, str] | None"]
"""What a tool's inputSchema mirrors into headers, as far as this gateway has seen the tool in a list; else None."""


def decode(inbound: Inbound, limits: Limits, open_session: OpenSession, schemas: Schemas) -> Call:
    """The call that a request makes. Raises BadCall with the id of the request, as far as one could be read."""
    if inbound.verb == "POST":
        inbound.once(check_media)
        return decode_message(inbound, jsonrpc.parse(inbound.body, limits), open_session, schemas)
    if inbound.body:
        raise BadCall("invalid_request", f"{inbound.verb} has no body")
    return _decode_without_body(inbound, open_session)


def decode_message(inbound: Inbound, value: Any, open_session: OpenSession, schemas: Schemas) -> Call:
    """Like `decode`, for a body that was parsed already: one message of a batch."""
    message = jsonrpc.read(value)
    identity = message.get("id")
    try:
        version = inbound.once(_version)
        meta = _meta(message)
        if VERSION in meta or (version is not None and version not in _HANDSHAKE):
            return _decode_modern(inbound, message, meta, version, schemas)
        return _decode_legacy(inbound, message, version, open_session)
    except BadCall as error:
        if error.id is None:
            error.id = identity
        raise


def with_arguments(call: Call, arguments: Mapping[str, Any], wanted: Mapping[headers.Path, str] | None) -> Call:
    """The same call with other arguments, in its message and in its headers alike (P-03).

    call: of a method with arguments. wanted: what the tool mirrors into headers, None where no list has named it. What the caller
    mirrored is of the old arguments, so nothing of it stays: a server that insists on a header that cannot be made anew refuses
    the call.
    """
    assert call.message is not None
    message = {**call.message, "params": {**call.message.get("params", {}), "arguments": arguments}}
    mirrors = _mirrored(wanted or {}, arguments) if call.era is Era.MODERN and call.method == "tools/call" else {}
    asked = (call.arguments or {}) if call.asked is None else call.asked
    headers_of_it = tuple(mirrors.items())
    return msgspec.structs.replace(call, message=message, arguments=arguments, param_headers=headers_of_it, asked=asked)


# ---- both eras ----------------------------------------------------------------------------------------------------


def check_media(inbound: Inbound) -> None:
    """Row 5: what comes is JSON, and the caller takes both kinds of answer. Raises BadCall."""
    if headers.single(inbound, b"content-encoding") not in (None, "identity"):
        raise BadCall("unsupported_media_type", "the body has a content coding: send it as it is")
    if not _JSON.fullmatch(headers.single(inbound, b"content-type") or ""):
        raise BadCall("unsupported_media_type", "Content-Type must be application/json")
    _accepts(inbound, "application/json", "text/event-stream")


def _accepts(inbound: Inbound, *wanted: str) -> None:
    if not _takes(tuple(inbound.all(b"accept")), wanted):
        raise BadCall("not_acceptable", f"Accept must list {' and '.join(wanted)}")


@lru_cache(maxsize=32)  # a client sends the same text with every call
def _takes(values: tuple[bytes, ...], wanted: tuple[str, ...]) -> bool:
    listed = set()
    for value in values:
        for item in value.decode("latin-1").lower().split(","):
            media, _, parameters = item.partition(";")
            if not re.search(r"\bq=0(\.0*)?\s*$", parameters):
                listed.add(media.strip())
    return all(listed & {media, media.partition("/")[0] + "/*", "*/*"} for media in wanted)


def _version(inbound: Inbound) -> str | None:
    return headers.routing(inbound, b"mcp-protocol-version")


def _meta(message: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = message.get("params", {}).get("_meta", {})
    if not isinstance(meta, dict):
        raise BadCall("invalid_params", "`params._meta` is not an object")
    return meta


def _clean(message: Mapping[str, Any], meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message without what must not cross: copies of our own keys, baggage, and trace context that is not one
    (M-26). The same object where there is nothing to drop, which is nearly always."""
    dropped = {key for key in meta if key.startswith(OURS) or key == "baggage"}
    trace = meta.get("traceparent")
    if trace is not None and not (isinstance(trace, str) and _TRACEPARENT.fullmatch(trace)):
        dropped |= {"traceparent", "tracestate"} & meta.keys()
    if not dropped:
        return message
    kept = {key: value for key, value in meta.items() if key not in dropped}
    return {**message, "params": {**message["params"], "_meta": kept}}


def _named(row: Method, message: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any] | None]:
    """The name and the arguments of a call, checked. Raises BadCall `invalid_params`."""
    try:
        operation = operation_of(message)
    except ValueError as error:
        raise BadCall("invalid_params", str(error)) from None
    name = operation.name
    if name is not None and len(name) > NAME_LENGTH:
        raise BadCall("invalid_params", f"the name is longer than {NAME_LENGTH} characters")
    if name is not None and row.name_field == "name" and not unicodedata.is_normalized("NFC", name):
        raise BadCall(
            "invalid_params", "the name is not in Unicode's normal form C, so two readers could take it for two"
        )
    return name, operation.arguments


# ---- modern -------------------------------------------------------------------------------------------------------


def _decode_modern(
    inbound: Inbound, message: Mapping[str, Any], meta: Mapping[str, Any], version: str | None, schemas: Schemas
) -> Call:
    if "method" not in message:
        raise BadCall("invalid_request", "a response was sent: revision 2026-07-28 has no requests of the server")
    method: str = message["method"]
    sent_method, names, sent_name, params = inbound.once(_routing)
    if "id" not in message:  # row 17: accepted, and dropped by the server room
        if VERSION in meta and version != meta[VERSION]:
            raise BadCall("header_mismatch", "MCP-Protocol-Version does not say what the body says")
        if not method.startswith("notifications/"):
            raise BadCall("invalid_request", f"{method!r} is a request and needs an `id`")
        _supported(version)
        return Call(
            server=inbound.server,
            era=Era.MODERN,
            revision=MODERN,
            shape=Shape.NOTIFICATION,
            method=method,
            message=message,
        )
    if not isinstance(meta.get(VERSION), str) or not isinstance(meta.get(CAPABILITIES), dict):  # row 8
        raise BadCall("invalid_params", f"`params._meta` must hold {VERSION} (a string) and {CAPABILITIES} (an object)")
    if version is None or version != meta[VERSION]:  # row 9
        raise BadCall("header_mismatch", "MCP-Protocol-Version is missing or does not say what the body says")
    if sent_method != method:  # row 10
        raise BadCall("header_mismatch", "Mcp-Method is missing or does not say what the body says")
    row = METHODS.get(method)
    if row is not None and row.modern and row.name_field is not None:  # row 11
        named = message.get("params", {}).get(row.name_field)
        # Clients that people use leave it out for tasks, and then there is nothing that could disagree.
        if (names or row.kind is not Kind.TASK) and (not names or sent_name != named):
            raise BadCall("header_mismatch", "Mcp-Name is missing or does not say what the body says")
    _supported(version)  # row 14
    if row is None or not row.modern:  # row 15
        more = f" (supported versions: {', '.join(SUPPORTED)})" if method == "initialize" else ""
        raise BadCall("method_not_found", f"there is no method {method!r} in revision {MODERN}{more}")
    name, arguments = _named(row, message)
    if method == "tools/call" and name is not None:  # row 12
        wanted = schemas(name)
        if wanted is not None:
            headers.check_mirrored(wanted, arguments or {}, params)
            known = set(wanted.values())
            params = {key: value for key, value in params.items() if key not in known}
            params |= _mirrored(wanted, arguments or {})
    return Call(
        server=inbound.server,
        era=_MODERN,
        revision=MODERN,
        shape=_REQUEST,
        method=method,
        id=message["id"],
        name=name,
        arguments=arguments,
        message=_clean(message, meta),
        param_headers=tuple(params.items()),
    )


def _routing(inbound: Inbound) -> tuple[str | None, bool, str | None, Mapping[str, str]]:
    """`Mcp-Method`; whether there is an `Mcp-Name`, and the text that it says, if it says one; every `Mcp-Param-*`."""
    params = headers.param_headers(inbound)
    method, name = headers.routing(inbound, b"mcp-method"), headers.routing(inbound, b"mcp-name")
    return method, name is not None, None if name is None else headers.decode_value(name), params


def _mirrored(wanted: Mapping[headers.Path, str], arguments: Mapping[str, Any]) -> dict[str, str]:
    """The `Mcp-Param-*` that these arguments call for, as they are sent."""
    return {key: headers.encode_value(value) for key, value in headers.mirrored(wanted, arguments).items()}


def _supported(version: str | None) -> None:
    if version != MODERN:
        raise BadCall(
            "unsupported_version",
            f"the protocol version {version!r} is not supported in this form",
            data={"supported": [MODERN], "requested": version},
        )


# ---- legacy -------------------------------------------------------------------------------------------------------


def _decode_legacy(
    inbound: Inbound, message: Mapping[str, Any], version: str | None, open_session: OpenSession
) -> Call:
    session, revision = _session(inbound, version, open_session)
    message = _clean(message, _meta(message))
    if "method" not in message:
        return Call(
            server=inbound.server,
            era=Era.LEGACY,
            revision=revision,
            shape=Shape.REPLY,
            method=REPLY,
            message=message,
            session=session,
        )
    method: str = message["method"]
    row = METHODS.get(method)
    if row is None or not row.legacy or method.startswith(OURS):  # a pseudo method is not one that can be sent
        raise BadCall("method_unknown", f"there is no method {method!r} in revision {revision}")
    if row.notification == ("id" in message):
        raise BadCall("invalid_request", f"{method!r} is a {'notification' if row.notification else 'request'}")
    if method == "initialize":
        revision, message = _offered(message)
    name, arguments = _named(row, message)
    return Call(
        server=inbound.server,
        era=Era.LEGACY,
        revision=revision,
        shape=Shape.NOTIFICATION if row.notification else Shape.REQUEST,
        method=method,
        id=message.get("id"),
        name=name,
        arguments=arguments,
        message=message,
        session=session,
    )


def _offered(message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The revision that `initialize` offers the server, and the message that does. A client may ask for any; one that no session
    here can have (newer ones have no `initialize` at all) is answered with the newest that one can, and he goes on or not."""
    requested = message.get("params", {}).get("protocolVersion")
    if not isinstance(requested, str):
        raise BadCall("invalid_params", "`params.protocolVersion` is not a string")
    if requested in LEGACY:
        return requested, message
    return LEGACY[-1], {**message, "params": {**message["params"], "protocolVersion": LEGACY[-1]}}


def _session(inbound: Inbound, version: str | None, open_session: OpenSession) -> tuple[Session | None, str]:
    """The session that a legacy request belongs to, and its revision (2025-03-26 where nothing says another)."""
    sealed = headers.single(inbound, b"mcp-session-id")
    session = None if sealed is None else open_session(sealed)
    if version == _OLDEST:
        raise _not_carried(version)
    if session is None:
        return None, version or LEGACY[0]
    if version is not None and version != session.revision:
        raise BadCall("bad_header", f"MCP-Protocol-Version is not {session.revision}, which this session negotiated")
    return session, session.revision


def _not_carried(version: str) -> BadCall:
    return BadCall("bad_header", f"revision {version!r} is not carried; supported: {', '.join(SUPPORTED)}")


def _decode_without_body(inbound: Inbound, open_session: OpenSession) -> Call:
    version = inbound.once(_version)
    if version == MODERN:
        raise BadCall(
            "http_method_refused", f"revision {version} has no {inbound.verb}", headers=((b"allow", b"POST"),)
        )
    if version is not None and version not in LEGACY:
        raise _not_carried(version)
    ends = inbound.verb == "DELETE"
    if not ends:
        _accepts(inbound, "text/event-stream")
    session, revision = _session(inbound, version, open_session)
    if ends and session is None:
        raise BadCall("invalid_request", "DELETE ends a session: send its Mcp-Session-Id")
    return Call(
        server=inbound.server,
        era=Era.LEGACY,
        revision=revision,
        shape=Shape.END if ends else Shape.STREAM,
        method=END_SESSION if ends else STREAM,
        session=session,
        last_event_id=None if ends else headers.single(inbound, b"last-event-id"),
    )
