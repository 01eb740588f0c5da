"""What an MCP server installs to check that a call was countersigned for it.

    from counterseal.verify import Verifier

    verifier = Verifier(issuer="https://gateway.example.com", audience="https://weather.example.com/mcp")
    verified = verifier.verify(token, method="tools/call", name="get_weather", arguments={"city": "Oslo"})

Owns the checks of a call token against a call, the keys of the gateway as the server sees them, single use, and receipts. May
import core, jose, errors and the clock, cryptography and the standard library; importing it loads no HTTP framework and nothing
of the gateway. Adapters are modules of their own, and only they import what they adapt to: `asgi`, `fastmcp`, `mcp_sdk`,
`starlette`, and `redis` for the memory of used tokens.
"""

from counterseal.verify.current import current_verified
from counterseal.verify.errors import CannotVerify, NotVerified, VerificationError
from counterseal.verify.receipts import FileReceipts, Receipts
from counterseal.verify.single_use import MemorySingleUse, SingleUse
from counterseal.verify.verifier import Verified, Verifier

__all__ = [
    "CannotVerify",
    "FileReceipts",
    "MemorySingleUse",
    "NotVerified",
    "Receipts",
    "SingleUse",
    "VerificationError",
    "Verified",
    "Verifier",
    "current_verified",
]
