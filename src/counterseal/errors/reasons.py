"""Every way in which a call can be refused: one closed table, a row for each reason. docs/errors.md is written from it.

An exception carries a row, and a denial (`core.permit.Denial`) names one. Whoever answers or records a refusal reads status, code
and fault off the row and decides nothing. No row says which of several checks a token failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Fault = Literal["caller", "server", "us", "operator"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the closed set of reasons (docs/errors.md).

    code: stable text in `error.data.reason`. status: HTTP. rpc: the JSON-RPC error code; those of MCP where the protocol
    names one, else our own, which are positive (status times 100 plus a number) and so outside JSON-RPC's reserved range.
    cause and remedy are what docs/errors.md prints.
    """

    code: str
    status: int
    rpc: int
    fault: Fault
    cause: str
    remedy: str


_ROWS: Final = (
    # 400: the message is not what the protocol says
    Reason(
        "parse_error",
        400,
        -32700,
        "caller",
        "The body is not one JSON text in UTF-8: malformed, a duplicate member, "
        "a byte order mark, NaN, or a number that no double can hold.",
        "Send strict JSON (RFC 8259) without duplicate members.",
    ),
    Reason(
        "invalid_request",
        400,
        -32600,
        "caller",
        "The body is JSON but not one JSON-RPC 2.0 message that this address and revision take.",
        "Send one request or notification object with `jsonrpc`, `method` and, for a request, a string or integer `id`.",
    ),
    Reason(
        "invalid_params",
        400,
        -32602,
        "caller",
        "A parameter that the protocol requires is missing or has another type.",
        "Send the parameter that the message names.",
    ),
    Reason(
        "header_mismatch",
        400,
        -32020,
        "caller",
        "A routing header (MCP-Protocol-Version, Mcp-Method, Mcp-Name, "
        "Mcp-Param-*) is missing, sent twice, or differs from the body.",
        "Send each routing header once, equal to the body.",
    ),
    Reason(
        "unsupported_version",
        400,
        -32022,
        "caller",
        "The protocol version is not one that this gateway carries.",
        "Use one of the versions in `error.data.supported`.",
    ),
    Reason(
        "capability_missing",
        400,
        -32021,
        "caller",
        "The request needs a capability that its client did not declare in `_meta`.",
        "Declare what `data.requiredCapabilities` holds, if your client can do it.",
    ),
    Reason(
        "batch_not_allowed",
        400,
        -32600,
        "caller",
        "A JSON-RPC batch outside a 2025-03-26 session, an empty or overlong one, or one with `initialize` in it.",
        "Send the messages one by one.",
    ),
    Reason(
        "ambiguous_credentials",
        400,
        40001,
        "caller",
        "More than one credential, or one header sent twice.",
        "Send exactly one `Authorization` or `X-API-Key` header.",
    ),
    Reason(
        "bad_header",
        400,
        40002,
        "caller",
        "A header that may be sent once was sent twice, or holds what it may not.",
        "Send the header that the message names once, with a plain value.",
    ),
    Reason(
        "passthrough_refused",
        400,
        40003,
        "caller",
        "A header that goes on to the server (`servers.<name>.passthrough`, `forward_headers`) holds a credential for this "
        "gateway: that of this request, or an API key. It would be in the server's hands.",
        "Send there what is meant for that server, or leave the header out.",
    ),
    Reason(
        "revision_too_old",
        400,
        40004,
        "caller",
        "The server has revision 2026-07-28 alone, the caller an older one, and the answer is one that the older one has no "
        "words for: a question to the caller, or a task.",
        "Call this tool with a client of revision 2026-07-28.",
    ),
    # 401
    Reason(
        "credential_missing",
        401,
        40101,
        "caller",
        "The request holds no credential and anonymous calls are off.",
        "Send `Authorization: Bearer ...` with an API key or an access token of a configured issuer.",
    ),
    Reason(
        "credential_invalid",
        401,
        40102,
        "caller",
        "The credential proves nothing here: unknown, expired, revoked, "
        "not for this address, or not signed by a configured issuer. The record says which.",
        "Get a new key or token; look the record up with `counterseal audit tail`.",
    ),
    # 403
    Reason(
        "policy_denied",
        403,
        40301,
        "caller",
        "No policy rule permits this call, or one denies it.",
        "Ask the gateway's owner for a `permit` rule; `docs/policy.md` shows how rules are read.",
    ),
    Reason(
        "tool_not_allowed",
        403,
        40302,
        "caller",
        "The server's `allowed_tools` or the API key's own tools leave this tool out.",
        "Add the tool to `servers.<name>.signer.allowed_tools`, or create a key with `--tools`.",
    ),
    Reason(
        "origin_refused",
        403,
        40303,
        "caller",
        "The request came from a web page of an origin that is neither this gateway's nor in `listen.origins`, "
        "or names a host that is not this gateway (DNS rebinding).",
        "Call the gateway by the host name of its `issuer`; list the page's origin in `listen.origins`.",
    ),
    Reason(
        "insufficient_scope",
        403,
        40304,
        "caller",
        "The access token lacks a scope that calls to this server need.",
        "Get a token with every scope that `WWW-Authenticate` names.",
    ),
    Reason(
        "channel_token_missing",
        403,
        40305,
        "caller",
        "The server asks for a channel token and the call has none.",
        "Send one in the header that `signer.channel_token_header` names, `X-Channel-Token` unless configured.",
    ),
    Reason(
        "channel_token_invalid",
        403,
        40306,
        "caller",
        "The channel token proves nothing here: expired, not for this address, or not signed by its configured issuer. "
        "The record says which.",
        "Get a new channel token; look the record up with `counterseal audit tail`.",
    ),
    Reason(
        "actor_refused",
        403,
        40307,
        "caller",
        "Who acts must not act for this subject: the access token's `may_act` names somebody else, or there would be more "
        "than four actors.",
        "Get a token whose `may_act` names this actor, or call through fewer.",
    ),
    Reason(
        "token_required",
        403,
        40308,
        "caller",
        "The server's calls need an access token of an identity provider (`signer.mode: verify_and_resign`), and this caller "
        "proved itself in another way.",
        "Send an access token of a configured issuer in place of the API key.",
    ),
    Reason(
        "claim_unavailable",
        403,
        40309,
        "caller",
        "A claim that the call token is to have cannot be made for this caller: what it is made of is missing, of another type "
        "or over its ceiling. The message names both.",
        "Let the identity provider or the API key say it, or give the template in `signer.add_claims` or `signer.set_claims` a "
        "default.",
    ),
    Reason(
        "required_claim_missing",
        403,
        40310,
        "caller",
        "The caller's token or API key lacks claims that the server's `signer.required_claims` names, or has other values. The "
        "message names all of them.",
        "Let the identity provider put them into the token, or create the API key with `--metadata`.",
    ),
    Reason(
        "scope_not_allowed",
        403,
        40311,
        "caller",
        "The call token would hold a scope that the server's `signer.allowed_scopes` leaves out.",
        "Add the scope that the message names to `servers.<name>.signer.allowed_scopes`.",
    ),
    Reason(
        "hook_denied",
        403,
        40312,
        "caller",
        "A hook of the gateway denies this call. The message is the hook's; the record says which one it is.",
        "Do what the message says, or ask the gateway's owner about the hook.",
    ),
    Reason(
        "tool_changed",
        403,
        40313,
        "server",
        "The server shows this tool in another form than the approved one, or `counterseal.lock` does not have it, so it is "
        "neither listed nor called.",
        "Read `counterseal servers diff SERVER`, then `counterseal servers approve SERVER TOOL`, or `counterseal servers lock` "
        "where there is a lock file.",
    ),
    Reason(
        "server_changed",
        403,
        40314,
        "server",
        "The server shows a tool in another form than the approved one, and `on_tool_change` is `refuse`: nothing of this server "
        "is used until that is settled.",
        "Read `counterseal servers diff SERVER`, then `counterseal servers approve SERVER`, or `counterseal servers lock` where "
        "there is a lock file.",
    ),
    Reason(
        "tool_unlisted",
        403,
        40315,
        "server",
        "The tool is pinned, no list has shown it since the gateway started, and the list that the gateway asked for does not "
        "have it, or this caller may not list. Whether it is still the approved tool cannot be told.",
        "Let the policy permit `tools/list` to whoever may call tools; else see whether the server still has the tool.",
    ),
    # 404 and the other statuses of the address itself
    Reason(
        "server_unknown",
        404,
        40401,
        "caller",
        "There is no server of this name for this caller.",
        "Use a name from `servers:` in the configuration.",
    ),
    Reason(
        "session_unknown",
        404,
        40402,
        "caller",
        "The session id is not valid for this caller and server, or has ended.",
        "Send `initialize` again without a session id.",
    ),
    Reason(
        "method_not_found",
        404,
        -32601,
        "caller",
        "The method is not one of this protocol revision.",
        "Use a method of the revision that the request names.",
    ),
    Reason(
        "method_unknown",
        400,
        -32601,
        "caller",
        "The method is not one of this legacy revision (where a 404 would tell the client that its session has ended).",
        "Use a method of the revision that the session negotiated.",
    ),
    Reason(
        "http_method_refused",
        405,
        40501,
        "caller",
        "This HTTP method is not served at this address.",
        "Use `POST`; `GET` and `DELETE` exist in the legacy revisions only.",
    ),
    Reason(
        "not_acceptable",
        406,
        40601,
        "caller",
        "`Accept` does not list what the answer may be.",
        "Send `Accept: application/json, text/event-stream` (`text/event-stream` for `GET`).",
    ),
    Reason(
        "too_large",
        413,
        41301,
        "caller",
        "The body, its depth or its number of members is over the ceiling.",
        "Send less; the ceilings are in docs/limits.md.",
    ),
    Reason(
        "call_token_too_large",
        413,
        41302,
        "caller",
        "The call token would be longer than the ceiling, so the server's HTTP parser might refuse it.",
        "Use a shorter tool name or resource address, or configure fewer claims.",
    ),
    Reason(
        "unsupported_media_type",
        415,
        41501,
        "caller",
        "The body is not `application/json` in UTF-8 without a content coding.",
        "Send `Content-Type: application/json` and no `Content-Encoding`.",
    ),
    Reason(
        "too_many",
        429,
        42901,
        "caller",
        "Too many calls of this caller are in flight.",
        "Wait for `Retry-After` seconds.",
    ),
    # 5xx: the server
    Reason(
        "server_unreachable",
        502,
        50201,
        "server",
        "The server does not accept connections or broke the connection, or its program cannot be started or has ended.",
        "Check that `servers.<name>.url` answers from the gateway's machine, or what the program says in the gateway's log; "
        "wait for `Retry-After` seconds where it is there.",
    ),
    Reason(
        "server_refused",
        502,
        50202,
        "server",
        "The server refused the call token or answered with a redirect or a status that MCP does not know.",
        "The message says which. The token: check the issuer, audience and JWKS address that the server is configured with. "
        "Sent elsewhere: write in `servers.<name>.url` the address that it sends to, a last `/` included.",
    ),
    Reason(
        "server_answer_invalid",
        502,
        50203,
        "server",
        "The server's answer is not one that may be passed on: not JSON-RPC, "
        "another request's id, or a request of its own where the revision has none.",
        "Mend the server; the record has the detail.",
    ),
    Reason(
        "server_answer_too_large",
        502,
        50204,
        "server",
        "The server's answer is over the ceiling for bytes or events.",
        "Mend the server, or page its results.",
    ),
    Reason(
        "server_failing",
        502,
        50205,
        "server",
        "The server could not be reached, or did not answer in time, several times in a row, so it is left alone for a while. "
        "Nothing was sent.",
        "Wait for `Retry-After` seconds; `/readyz` says what is wrong, `counterseal servers check` asks the server now.",
    ),
    Reason(
        "server_timeout",
        504,
        50401,
        "server",
        "The server did not answer in time.",
        "See docs/limits.md for the limits.",
    ),
    # 5xx: us
    Reason(
        "internal_error",
        500,
        50001,
        "us",
        "A defect in the gateway. Nothing was sent to the server after it.",
        "Report it with the record's id.",
    ),
    Reason(
        "identity_unavailable",
        503,
        50301,
        "us",
        "The IdP's keys cannot be had, so we cannot tell whose token this is.",
        "Retry after `Retry-After` seconds; `/readyz` says which issuer, and what is wrong.",
    ),
    Reason(
        "store_unavailable",
        503,
        50302,
        "us",
        "The store cannot be read, so we cannot tell whether a key is valid.",
        "Check the `store:`; `/readyz` says what is wrong.",
    ),
    Reason("signer_unavailable", 503, 50303, "us", "No call token can be signed now.", "`/readyz` says what is wrong."),
    Reason(
        "audit_unavailable",
        503,
        50304,
        "us",
        "The record cannot be written, so the call is not made.",
        "Free space or mend the permissions of the `audit.sink` folder; `/readyz` says what is wrong.",
    ),
    Reason(
        "overloaded",
        503,
        50305,
        "us",
        "The gateway carries as many calls as it may.",
        "Wait for `Retry-After` seconds.",
    ),
    Reason(
        "server_busy",
        503,
        50307,
        "server",
        "As many calls to this server are in flight as one server may have; those to other servers go on.",
        "Wait for `Retry-After` seconds; mend the server if it hangs.",
    ),
    Reason(
        "gateway_ended",
        503,
        50308,
        "us",
        "The gateway was stopped, and the call was still under way when the time for that was over. Where its record has an "
        "intent, whether the server did what it was asked is not known.",
        "Wait for `Retry-After` seconds and call again, if it does no harm that the server may have been asked before.",
    ),
    Reason(
        "hook_failed",
        503,
        50306,
        "us",
        "A hook of the gateway raised an error, gave no answer in time, or gave one that cannot be used. "
        "The record says which, and why.",
        "Mend the hook; `docs/hooks.md` says what it may answer.",
    ),
)

REASONS: Final[Mapping[str, Reason]] = {row.code: row for row in _ROWS}
