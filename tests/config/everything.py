"""Every key of the configuration with a value that is accepted, and a walk over the schema that says what every key is."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from counterseal.config.schema import Configuration, Part

SIGNER: dict[str, Any] = {
    "mode": "sign",
    "algorithm": "ES256",
    "audience": None,
    "ttl_seconds": 60,
    "header": "Authorization",
    "on_conflict": "error",
    "end_user_claim_sources": ["sub", "email", "claim:realm.name", ["https://example.com/user"]],
    "allowed_tools": ["get_*", "list_*"],
    "bind_arguments": True,
    "trust_identity_headers_from": ["10.0.0.0/24", "fd00::5/128"],
    "optional_claims": ["department", "realm_access.roles"],
    "required_claims": [{"name": "tenant", "values": ["acme", 7, True]}, {"name": "azp", "values": ["ide"]}],
    "add_claims": {"plan": "free", "app.level": "{key.metadata.level:int|0}"},
    "set_claims": {"tags": ["a", "{caller.team|none}"], "app": {"tenant": "{claim.tenant}", "active": True}},
    "remove_claims": ["debug", ["https://example.com/x"]],
    "allowed_scopes": ["mcp:tools/list", "mcp:tools/call:get_*"],
    "channel_token_header": "X-Channel-Token",
    "channel_token_allow_insecure_loopback": False,
    "channel_token_discovery_uri": "https://channels.example.com/.well-known/openid-configuration",
    "channel_token_jwks_uri": None,
    "channel_token_issuer": "https://channels.example.com",
    "channel_token_algorithms": ["RS256", "ES256"],
    "channel_token_audience_in": "https://gateway.example.com/mcp/weather",
    "channel_token_required": False,
    "channel_token_audience": "urn:channel:weather",
    "channel_token_ttl": 60,
    "txn_token": {"audience": "example.internal", "ttl_seconds": 60, "req_wl": "gateway.example.com"},
    "debug_header": True,
    "profile": None,
    "subject": None,
}

EVERYTHING: dict[str, Any] = {
    "issuer": "https://gateway.example.com",
    "listen": {"host": "127.0.0.1", "port": 8460, "origins": ["https://inspector.example.com"]},
    "store": "sqlite:counterseal.db",
    "redis": None,
    "keys": {"source": "store", "algorithms": ["RS256", "ES256", "Ed25519"], "rotate_every": None},
    "callers": {
        "api_keys": True,
        "anonymous": False,
        "own_keys": [{"name": "root", "key": "env:ROOT_KEY", "subject": "alice"}],
        "key_header": "x-litellm-api-key",
        "tokens_need_key": True,
        "issuers": [
            {
                "name": "corp",
                "allow_insecure_loopback": False,
                "allow_networks": ["10.20.0.0/16", "fd00::/48"],
                "discovery_uri": "https://login.example.com/common/.well-known/openid-configuration",
                "jwks_uri": None,
                "jwks_hosts": ["keys.example.com"],
                "issuer": "https://login.example.com/{tenantid}/v2.0",
                "tenants": ["5d1c1c7e", "acme"],
                "audience": ["https://gateway.example.com/mcp/weather"],
                "algorithms": ["RS256", "PS256", "ES384"],
                "types": ["at+jwt"],
                "untyped": False,
                "bare": True,
                "leeway": 5,
                "longest_life": "24h",
                "required_scopes": ["mcp", "weather:read"],
                "require_email_verified": True,
                "claims": {
                    "subject": "oid",
                    "email": "user.email",
                    "team": ["https://example.com/team"],
                    "org": "tid",
                    "agent": "agent",
                    "scope": "scp",
                    "roles": "realm_access.roles",
                    "groups": "groups",
                },
                "introspection": None,
            },
            {
                "name": "opaque",
                "issuer": "https://idp.example.com/",
                "introspection": {
                    "endpoint": "https://idp.example.com/introspect",
                    "client_id": "gateway",
                    "client_auth": "basic",
                    "client_secret": "env:TENANT_KEY",
                    "private_key": None,
                    "token_prefix": "opq_",
                    "require_audience": True,
                },
            },
        ],
    },
    "signer": SIGNER,
    "on_tool_change": "hold",
    "servers": {
        "weather": {
            "url": "http://127.0.0.1:8000/mcp",
            "transport": "streamable_http",
            "description": "Forecasts",
            "headers": {"X-Tenant-Key": "env:TENANT_KEY"},
            "passthrough": {"header": "X-Server-Authorization"},
            "forward_headers": ["X-Trace", "X-Case-Id"],
            "on_tool_change": "refuse",
            "signer": SIGNER | {"header": "X-Call-Token", "on_conflict": "replace"},
        },
        "files": {
            "transport": "stdio",
            "command": ["sh", "-c", "cat"],
            "env": {"LEVEL": "debug", "API_KEY": "env:TENANT_KEY"},
            "cwd": "/",
            "isolation": "caller",
            "max_processes": 8,
            "idle_timeout": "5m",
            "send_token": True,
            "signer": {"channel_token_discovery_uri": SIGNER["channel_token_discovery_uri"]},
        },
        "crm": {
            "url": "https://crm.internal/api",
            "transport": "openapi",
            "spec": "./crm-openapi.yaml",
            "openapi": {
                "tags": ["customers", "orders"],
                "paths": ["/v1/*"],
                "operations": ["get_*", "list_*"],
                "exclude": ["delete_*"],
                "on_unmapped": "skip",
                "output_schemas": True,
            },
            "signer": {"channel_token_discovery_uri": SIGNER["channel_token_discovery_uri"]},
        },
    },
    "litellm": {"names": {"forecasts": "weather"}, "groups": {"dev": ["weather", "files"]}, "separator": "-"},
    "policy": [
        {
            "permit": {
                "callers": {"team": "data", "agent": ["planner", "crawler_*"], "kind": "api_key"},
                "servers": ["weather"],
                "tools": ["get_*"],
                "methods": ["tools/call", "resources/*"],
                "unless": None,
                "when": None,
            }
        },
        {"deny": {"tools": ["delete_*"]}},
    ],
    "hooks": [
        {
            "use": "static_headers",
            "name": "tenant",
            "servers": ["weather"],
            "methods": ["tools/call", "prompts/*"],
            "tools": ["get_*"],
            "headers": ["X-Tenant"],
            "time_limit": "2s",
            "with": {"headers": {"X-Tenant": "env:TENANT_KEY"}, "deep": [[1, {"a": 1.5}], None, True]},
        },
        {"use": "my_hooks.gates:Sundays"},
    ],
    "audit": {"sink": "file:audit/", "required": True, "fsync": "none"},
}

Field = tuple[tuple[str, ...], FieldInfo]


def fields(part: type[BaseModel] = Configuration, above: tuple[str, ...] = ()) -> Iterator[Field]:
    """Every key of the schema: its steps, with `[]` for any position and `<name>` for any key, and its field."""
    for name, info in part.model_fields.items():
        key = info.alias or name
        yield (*above, key), info
        steps, hint = _inside((*above, key), info.annotation)
        if isinstance(hint, type) and issubclass(hint, Part):
            yield from fields(hint, steps)


def plain(hint: Any) -> Any:
    """A type without validators and None."""
    if get_origin(hint) is Annotated:
        return plain(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return plain(next(one for one in get_args(hint) if one is not type(None)))
    return hint


def _inside(steps: tuple[str, ...], hint: Any) -> tuple[tuple[str, ...], Any]:
    hint = plain(hint)
    if get_origin(hint) is tuple:
        return _inside((*steps, "[]"), get_args(hint)[0])
    if get_origin(hint) is Mapping:
        return _inside((*steps, "<name>"), get_args(hint)[1])
    return steps, hint


def values(data: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every key and every list item of a configuration, with its value."""
    if steps:
        yield steps, data
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, value in items:
        yield from values(value, (*steps, step))


_SIGNERS = (("signer",), ("servers", "<name>", "signer"))


def general(steps: tuple[str | int, ...]) -> tuple[str, ...]:
    """Steps through a configuration as steps through the schema."""
    text = tuple("[]" if isinstance(step, int) else step for step in steps)
    free = (
        ("servers",),
        ("servers", "<name>", "headers"),
        ("servers", "<name>", "env"),
        ("policy", "[]", "permit", "callers"),
        *((*signer, f"{operation}_claims") for signer in _SIGNERS for operation in ("add", "set")),
        ("hooks", "[]", "with"),
        ("litellm", "names"),
        ("litellm", "groups"),
    )
    for index in range(1, len(text)):
        if text[:index] in free:
            text = (*text[:index], "<name>", *text[index + 1 :])
    return text


def changed(data: Any, steps: tuple[str | int, ...], value: Any) -> Any:
    """A copy with another value in one place."""
    step, *rest = steps
    copy = list(data) if isinstance(data, list) else dict(data)
    copy[step] = changed(data[step], tuple(rest), value) if rest else value  # type: ignore[index]
    return copy


def renamed(data: Any, steps: tuple[str | int, ...], name: str) -> Any:
    """A copy with another name for one key, in the same order."""
    step, *rest = steps
    if rest:
        return changed(data, (step,), renamed(data[step], tuple(rest), name))
    return {name if key == step else key: value for key, value in data.items()}
