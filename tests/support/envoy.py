"""Envoy in front of servers: it verifies call tokens by the gateway's JWKS and chooses the server by what they say.

Its configuration is what its own documentation tells an operator to write (`jwt_authn` with `claim_to_headers`), with the
gateway's issuer, JWKS address and audience, and nothing that we ship.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.process import Program, free_port

_READY = re.compile("starting main dispatch loop")
_TYPES = "type.googleapis.com/envoy.extensions.filters"


class Envoy:
    """`with` ends it. routes: (scope, sub of the outermost actor) -> the server; a token for none of them is answered with 404.

    port: where it listens; the audience that it asks for is its own address.
    """

    def __init__(
        self, folder: Path, port: int, *, issuer: str, jwks: str, routes: Mapping[tuple[str, str], str]
    ) -> None:
        self.url = f"http://127.0.0.1:{port}/mcp"
        configuration = folder / "envoy.yaml"
        configuration.write_text(yaml.safe_dump(_configuration(self.url, port, issuer, jwks, routes)))
        found = importlib.util.find_spec("envoy")
        assert found is not None, "no Envoy: the test lacks its party mark"
        assert found.origin is not None
        program = str(Path(found.origin).parent / "_bin" / "envoy")
        self._program = Program(
            "envoy", [program, "-c", str(configuration), "--concurrency", "1", "--use-dynamic-base-id"]
        )
        try:
            self._program.wait_for(_READY)
        except AssertionError:
            self._program.stop()
            raise

    def __enter__(self) -> Envoy:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()


def _configuration(
    audience: str, port: int, issuer: str, jwks: str, routes: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    clusters = {"keys": jwks, **{f"server-{index}": url for index, url in enumerate(routes.values())}}
    provider = {
        "issuer": issuer,
        "audiences": [audience],
        "remote_jwks": {
            "http_uri": {"uri": jwks, "cluster": "keys", "timeout": "2s"},
            "cache_duration": {"seconds": 300},
        },
        "forward": True,
        "claim_to_headers": [
            {"header_name": "x-token-scope", "claim_name": "scope"},
            {"header_name": "x-token-actor", "claim_name": "act.sub"},
        ],
        "clear_route_cache": True,
    }
    chosen = [
        {
            "match": {
                "prefix": "/",
                "headers": [
                    {"name": "x-token-scope", "string_match": {"exact": scope}},
                    {"name": "x-token-actor", "string_match": {"exact": actor}},
                ],
            },
            "route": {"cluster": f"server-{index}", "timeout": "10s"},
        }
        for index, (scope, actor) in enumerate(routes)
    ]
    nowhere = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "mcp",
        "route_config": {"virtual_hosts": [{"name": "mcp", "domains": ["*"], "routes": [*chosen, nowhere]}]},
        "http_filters": [
            {
                "name": "jwt",
                "typed_config": {
                    "@type": f"{_TYPES}.http.jwt_authn.v3.JwtAuthentication",
                    "providers": {"counterseal": provider},
                    "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "counterseal"}}],
                },
            },
            {"name": "router", "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"}},
        ],
    }
    listener = {
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "admin": {"address": _address(free_port())},
        "static_resources": {
            "listeners": [listener],
            "clusters": [
                {
                    "name": name,
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": name,
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _address(urlsplit(url).port or 80)}}]}
                        ],
                    },
                }
                for name, url in clusters.items()
            ],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
