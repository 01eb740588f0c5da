"""Every ceiling in one table (docs/limits.md prints it). Bytes, seconds or counts, as the names say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are the contract; tests hold each at n and n + 1."""

    # what a caller may send
    header_bytes: int = 32 * 1024
    header_count: int = 100
    header_value_bytes: int = 8 * 1024
    header_seconds: float = 10.0
    waiting_request_count: int = 64
    body_bytes: int = 4 * 1024 * 1024
    body_seconds: float = 30.0
    json_depth: int = 64
    json_members: int = 100_000
    batch_messages: int = 32
    session_seconds: int = 24 * 3600
    request_state_seconds: int = 24 * 3600
    calls_per_caller: int = 1024
    calls_per_worker: int = 8192
    bodies_per_caller_bytes: int = 64 * 1024 * 1024
    bodies_per_worker_bytes: int = 512 * 1024 * 1024
    untaken_per_caller_bytes: int = 256 * 1024 * 1024
    untaken_per_worker_bytes: int = 1024 * 1024 * 1024
    # tokens that come in
    token_bytes: int = 8 * 1024
    token_json_depth: int = 16
    token_json_members: int = 256
    token_string_bytes: int = 4 * 1024
    verified_kept_seconds: float = 60.0
    verified_kept_count: int = 10_000
    # other people's keys
    discovery_bytes: int = 64 * 1024
    jwks_bytes: int = 256 * 1024
    jwks_keys: int = 100
    fetch_connect_seconds: float = 2.0
    fetch_seconds: float = 5.0
    refetch_cooldown_seconds: float = 30.0
    keys_stale_seconds: float = 3600.0
    unknown_kid_count: int = 64
    # what an introspection endpoint says of an opaque token
    introspection_bytes: int = 64 * 1024
    introspection_count: int = 32
    introspection_kept_seconds: float = 60.0
    introspection_refused_seconds: float = 5.0
    introspection_kept_count: int = 10_000
    # tokens that go out
    call_token_bytes: int = 6 * 1024
    claim_text_bytes: int = 4 * 1024
    claim_json_depth: int = 8
    claim_json_members: int = 256
    # what hooks may add, and may know of tools
    hook_header_count: int = 20
    hook_header_bytes: int = 2 * 1024
    hook_claim_members: int = 128
    hook_events: int = 1000
    tool_schema_bytes: int = 64 * 1024
    tool_schemas_bytes: int = 8 * 1024 * 1024
    # headers of callers that servers get by name
    forward_header_count: int = 20
    forward_header_bytes: int = 2 * 1024
    # what a server may take or send
    server_connect_seconds: float = 5.0
    server_idle_seconds: float = 60.0
    server_total_seconds: float = 300.0
    server_stream_seconds: float = 3600.0
    server_answer_bytes: int = 16 * 1024 * 1024
    server_event_bytes: int = 16 * 1024 * 1024
    server_events: int = 100_000
    calls_per_server: int = 2048
    server_failure_count: int = 5
    server_rest_seconds: float = 60.0
    # sessions that the gateway opens at streamable HTTP servers
    own_session_count: int = 1024
    own_session_idle_seconds: float = 600.0
    # the definitions of a server's tools
    pinned_tool_count: int = 2000
    pinned_name_bytes: int = 256
    pinned_definition_bytes: int = 64 * 1024
    tool_change_count: int = 1000
    # servers over stdio and HTTP+SSE
    process_start_seconds: float = 60.0
    process_grace_seconds: float = 2.0
    process_back_off_seconds: float = 60.0
    sse_session_count: int = 256
    sse_idle_seconds: float = 600.0
    server_unread_bytes: int = 1024 * 1024
    # servers that are described by an OpenAPI document
    openapi_bytes: int = 16 * 1024 * 1024
    openapi_operation_count: int = 2000
    openapi_schema_bytes: int = 128 * 1024
    openapi_target_bytes: int = 16 * 1024
    openapi_error_bytes: int = 16 * 1024
    openapi_page_bytes: int = 1024 * 1024
    openapi_page_count: int = 250
    # the address for all servers
    gather_seconds: float = 10.0
    gather_list_bytes: int = 4 * 1024 * 1024
    gather_list_count: int = 5000
    gather_page_bytes: int = 4 * 1024 * 1024
    gather_page_count: int = 1000
    kept_lists_seconds: float = 300.0
    kept_lists_bytes: int = 32 * 1024 * 1024
    visit_idle_seconds: float = 3600.0
    visit_count: int = 1024
    visits_per_caller: int = 64
    visit_client_bytes: int = 16 * 1024
    # our own parts
    audit_seconds: float = 1.0
    store_stale_seconds: float = 5.0


LIMITS: Final = Limits()
