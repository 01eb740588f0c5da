"""For HTTP APIs behind a gateway that turns their OpenAPI document into tools: a dependency for FastAPI and Starlette.

    @app.get("/forecast/{city}", operation_id="getForecast")
    async def forecast(city: str, verified: Annotated[Verified, Depends(CallToken(verifier))]) -> Forecast: ...

A request to such an API is the call of a tool (docs/openapi.md): method `tools/call`, name its `operationId`. The call token
is the bearer token. Which arguments the gateway's caller gave, the API sees only taken apart into path, query, headers and
body; so their digest is checked only where `arguments` puts them together again. Without that, a token that is caught in time
can be used for other arguments of the same operation, once.
"""

# No `from __future__ import annotations` here: FastAPI reads the annotations of `CallToken.__call__`.

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from counterseal.core.operation import Operation
from counterseal.verify.errors import NotVerified
from counterseal.verify.refusals import Refused, bearer_token, refusal_of
from counterseal.verify.verifier import Verified, Verifier

Arguments = Callable[[Request], Awaitable[Mapping[str, Any]]]

_METHOD: Final = "tools/call"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]")
"""What the gateway writes with `_` in the name of a tool."""
_log: Final = logging.getLogger("counterseal.verify")


class CallToken:
    """Await it with the request, or hand it to FastAPI's `Depends`: the verified call, or an HTTPException with 401, 403 or 503.

    verifier: for this API's audience. operation: the `operationId`; None takes the one of FastAPI's route. arguments: makes
    the arguments of the tool from a request, as the gateway had them; None leaves their digest unchecked.
    What was verified is in `request.state.counterseal` too.
    """

    def __init__(self, verifier: Verifier, *, operation: str | None = None, arguments: Arguments | None = None) -> None:
        self._verifier = verifier
        self._operation = operation
        self._arguments = arguments

    async def __call__(self, request: Request) -> Verified:
        operation = Operation(_METHOD, _UNFIT.sub("_", self._operation or _operation_id(request)))
        try:
            verified = await self._verify(request, operation)
        except Refused as refused:
            raise _as_http(refused) from None
        except NotVerified as error:
            _log.warning("a call was refused: %s: %s", error.code, error.message)
            raise _as_http(refusal_of(error, operation, self._verifier.profile)) from None
        request.state.counterseal = verified
        return verified

    async def _verify(self, request: Request, operation: Operation) -> Verified:
        headers = request.scope["headers"]
        token = bearer_token([value for name, value in headers if name.lower() == b"authorization"])
        if self._arguments is None:
            return await self._verifier.averify_without_arguments(token, method=_METHOD, name=operation.name)
        arguments = await self._arguments(request)
        return await self._verifier.averify(token, method=_METHOD, name=operation.name, arguments=arguments)


def _operation_id(request: Request) -> str:
    """As FastAPI writes it into its document: `operation_id`, else the one that FastAPI makes up."""
    route = request.scope.get("route")
    name = getattr(route, "operation_id", None) or getattr(route, "unique_id", None)
    if not isinstance(name, str):
        raise RuntimeError("this route has no operationId: give one to CallToken(verifier, operation=...)")
    return name


def _as_http(refused: Refused) -> HTTPException:
    headers = {"cache-control": "no-store", **dict(refused.all_headers())}
    return HTTPException(refused.status, f"{refused.reason}: {refused.message}", headers)
