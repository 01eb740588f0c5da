"""Files of the shapes that LiteLLM's pages show: each is read, and what is told about it is known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from counterseal.config.compile import warnings
from counterseal.config.load import load_text
from tests.config.litellm.reading import MASTER_KEY

OF_SEVERAL_KINDS = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
litellm_settings:
  # an alias stands for a server by its name
  mcp_aliases:
    "github": "github_mcp_server"
mcp_servers:
  deepwiki_mcp:
    url: "https://mcp.deepwiki.example.com/mcp"
  zapier_mcp:
    url: "https://actions.zapier.example.com/mcp/sk-akxxxxx/sse"
    transport: "sse"
  local_mcp:
    transport: "stdio"
    command: "sh"
    args: ["-c", "cat"]
    env:
      SERVICE_TOKEN: "your-service-token"
      SERVICE_BASE_URL: "https://service.example.com"
  github_mcp_server:
    url: "https://api.github.example.com/mcp"
    auth_type: "bearer_token"
    auth_value: os.environ/GITHUB_ACCESS_TOKEN
    allowed_tools: ["list_tools"]
    extra_headers: ["x-mcp-trace"]
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""

SIGNER = """
mcp_servers:
  my_mcp_server:
    url: https://my-mcp.example.com/mcp
    transport: http
guardrails:
  - guardrail_name: "mcp-jwt-signer"
    litellm_params:
      guardrail: mcp_jwt_signer
      mode: "pre_mcp_call"
      default_on: true
      issuer: "https://my-litellm.example.com"
      audience: "mcp"
      ttl_seconds: 300
      access_token_discovery_uri: "https://idp.example.com/.well-known/openid-configuration"
      token_introspection_endpoint: "https://idp.example.com/introspect"
      verify_issuer: "https://idp.example.com"
      verify_audience: "api://my-app"
      end_user_claim_sources:
        - "token:sub"
        - "token:email"
        - "litellm:user_id"
      add_claims:
        deployment_id: "prod-001"
      set_claims:
        env: "production"
      remove_claims:
        - "nbf"
      channel_token_audience: "bedrock-gateway"
      channel_token_ttl: 60
      required_claims:
        - "sub"
        - "email"
      optional_claims:
        - "groups"
        - "roles"
      debug_headers: false
      allowed_scopes:
        - "mcp:tools/call"
        - "mcp:tools/list"
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""

FIRST_PROPOSED = """
guardrails:
  - guardrail_name: signer
    litellm_params:
      guardrail: mcp_jwt_signer
      mode: pre_mcp_call
      default_on: true
      issuer: https://my-litellm.example.com
      end_user_claim_sources: [sub, preferred_username, email, user_id]
      channel_token_header: X-Channel-Token
      channel_token_discovery_uri: https://agents.example.com/.well-known/openid-configuration
      debug_header: true
      allowed_tools: [search, read]
mcp_servers:
  - server_name: notes
    url: https://notes.example.com/mcp
    auth_type: api_key
    auth_value: os.environ/NOTES_KEY
"""

OF_APIS = """
mcp_servers:
  petstore_mcp:
    url: "https://petstore.example.com/v2"
    spec_path: "./petstore.json"
    auth_type: "basic"
    auth_value: "os.environ/PETSTORE_LOGIN"
    access_groups: ["dev_group"]
  remote_spec_mcp:
    url: "https://other.example.com"
    spec_path: "https://other.example.com/openapi.json"
  oauth_mcp:
    url: "https://oauth.example.com/mcp"
    auth_type: oauth2
    authorization_url: https://oauth.example.com/authorize
    token_url: https://oauth.example.com/token
    client_id: os.environ/OAUTH_CLIENT_ID
    client_secret: os.environ/OAUTH_CLIENT_SECRET
"""


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MCP_JWT_SIGNING_KEY", "MCP_JWT_ISSUER", "LITELLM_EXTERNAL_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LITELLM_MASTER_KEY", MASTER_KEY)
    for name in ("GITHUB_ACCESS_TOKEN", "NOTES_KEY", "PETSTORE_LOGIN"):
        monkeypatch.setenv(name, "alice:secret")


@pytest.mark.parametrize(
    ("text", "servers", "about"),
    [
        (
            OF_SEVERAL_KINDS,
            ["deepwiki_mcp", "zapier_mcp", "local_mcp", "github"],
            [
                "the file",
                "model_list",
                "mcp_servers.zapier_mcp.url",
                "mcp_servers.local_mcp.env.SERVICE_TOKEN",
                "mcp_servers.local_mcp.env.SERVICE_BASE_URL",
                "mcp_servers.github_mcp_server.auth_value",
                "the file",
            ],
        ),
        (
            SIGNER,
            ["my_mcp_server"],
            [
                f"guardrails[0].litellm_params.{key}"
                for key in (
                    "access_token_discovery_uri",
                    "token_introspection_endpoint",
                    "remove_claims[0]",
                    "allowed_scopes",
                )
            ],
        ),
        (
            FIRST_PROPOSED,
            ["notes"],
            [
                *(f"guardrails[0].litellm_params.end_user_claim_sources[{index}]" for index in range(4)),
                "guardrails[0].litellm_params.channel_token_header",
            ],
        ),
        (
            OF_APIS,
            ["petstore_mcp"],
            [
                "the file",
                "the file",
                "mcp_servers",
                "mcp_servers.petstore_mcp.auth_value",
                "mcp_servers.remote_spec_mcp.spec_path",
                "mcp_servers.oauth_mcp.auth_type",
            ],
        ),
    ],
    ids=["servers", "signer", "first", "apis"],
)
def test_it_is_read_and_what_is_told_about_it_is_known(text: str, servers: list[str], about: list[str]) -> None:
    configuration = load_text(text, "config.yaml", Path("/nowhere"))
    assert list(configuration.servers) == servers
    told = [line.split(": ")[1] for line in warnings(configuration, os.environ) if line.startswith("config.yaml:")]
    assert sorted(set(told)) == sorted(set(about))
