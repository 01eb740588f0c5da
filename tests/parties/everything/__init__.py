"""One MCP server on the official Python SDK that has every tool, prompt and resource the MCP conformance suite asks for.

    python -m tests.parties.everything --port 9000                                   plain
    python -m tests.parties.everything --port 9000 --issuer I --audience A           refuses what is not countersigned

It serves both eras of the protocol at `/mcp`. With an issuer it is wrapped in `counterseal.verify.asgi`. What it was asked is at
`GET /seen`, outside MCP: one entry for every HTTP request that arrived, refused or not, so a test can say "no request was made".
The suite's own texts (names, keys of `inputRequests`, the schema to preserve) are its interface; the rest is this project's.
"""
