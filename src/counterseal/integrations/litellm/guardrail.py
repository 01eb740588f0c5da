"""The guardrail itself: LiteLLM's hooks on one side, `signing.py` on the other.

* It runs on every `call_mcp_tool`, whatever a key, a team, a policy or a request says about guardrails: whoever could leave it
  out would call unsigned.
* Whatever goes wrong in it refuses the call: LiteLLM calls no tool after an HTTPException of its status.
* It never sees `tools/list` as something to sign: LiteLLM ignores headers of any guardrail there but its own signer's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.types.guardrails import LitellmParams

from counterseal.config.load import load
from counterseal.errors import CallError, ConfigError
from counterseal.integrations.litellm import settings as guardrail_settings
from counterseal.integrations.litellm.documents import mount
from counterseal.integrations.litellm.open_records import OpenRecords
from counterseal.integrations.litellm.running import Running, look
from counterseal.integrations.litellm.signing import Signing, ToolCall, waiting_seconds

_CALL: Final = "call_mcp_tool"
_MODE: Final = "pre_mcp_call"
_OF_NO_PIPELINE: Final = " (in no pipeline)"
"""Behind the guardrail's name. A pipeline of a LiteLLM policy runs a guardrail by its name in the place of the usual run, and may
let pass what it refuses, and without what it signed."""
_RAN_AND_FAILED: Final = "MCPToolResultError"
"""LiteLLM's class for a result with `isError`."""
_log: Final = logging.getLogger("counterseal.integrations.litellm")


class CountersealGuardrail(CustomGuardrail):  # type: ignore[misc]  # LiteLLM is not there where types are checked
    """`guardrail: counterseal.integrations.litellm.CountersealGuardrail`. Its settings: `settings.py`. Raises ConfigError, with
    which LiteLLM does not start."""

    def __init__(
        self, guardrail_name: str | None = None, event_hook: object = None, default_on: object = None, **parameters: Any
    ) -> None:
        try:
            self._settings = guardrail_settings.read(
                mode=event_hook, default_on=default_on, parameters=parameters, known=LitellmParams.model_fields
            )
            configuration = load(self._settings.config)
            guardrail_settings.check(self._settings, configuration)
            documents = look(self._settings.config)
            if self._settings.documents:
                mount(configuration.issuer, documents)
        except (ValueError, TypeError) as error:
            # LiteLLM would start without the guardrail.
            raise ConfigError(f"LiteLLM's guardrail: {type(error).__name__}: {error}") from error
        self._records = OpenRecords(waiting_seconds())
        self._sign = Signing(self._settings, Running(configuration, self._records.close), self._records)
        super().__init__(guardrail_name=f"{guardrail_name}{_OF_NO_PIPELINE}", event_hook=event_hook, default_on=True)

    def should_run_guardrail(self, data: Any, event_type: Any) -> bool:
        """Nobody can leave it out."""
        return bool(getattr(event_type, "value", event_type) == _MODE)

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """The call with our headers. Raises HTTPException for a call that is refused."""
        if call_type != _CALL:
            return data
        try:
            signed = await self._sign(_tool_call(user_api_key_dict, data))
        except CallError as error:
            raise _refusal(error) from None
        except Exception as error:
            _log.exception("a tool call was refused, because the guardrail failed")
            detail = {"error": "the call cannot be signed now", "reason": "internal_error"}
            raise HTTPException(503, detail) from error
        if signed is None:
            return data
        ours = {name.lower() for name, _ in signed.headers}
        others = {name: value for name, value in (data.get("extra_headers") or {}).items() if name.lower() not in ours}
        signed_data = {**data, "extra_headers": {**others, **dict(signed.headers)}}
        if signed.arguments is not None:
            signed_data["modified_arguments"] = dict(signed.arguments)
        return signed_data

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """LiteLLM says that a call was answered."""
        self._records.ended(_id_in(kwargs), "answered", 200)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """LiteLLM says that a tool answered with an error, or that there was no answer."""
        error = kwargs.get("exception") if isinstance(kwargs, Mapping) else None
        name = type(error).__name__
        if name == _RAN_AND_FAILED:
            self._records.ended(_id_in(kwargs), "error", 200)
        else:
            self._records.ended(_id_in(kwargs), "failed", None, f"LiteLLM: {name}")


def _tool_call(auth: Any, data: Mapping[str, Any]) -> ToolCall:
    """What LiteLLM hands to guardrails, as one value. Whatever is missing or of another type raises."""
    metadata = data.get("metadata") or {}
    headers = {str(name).lower(): str(value) for name, value in (metadata.get("headers") or {}).items()}
    logging_of_call = data.get("litellm_logging_obj")
    id = getattr(logging_of_call, "litellm_call_id", None)
    # As LiteLLM decides it: what a guardrail before this one put in the place of the arguments, unless that is empty.
    arguments = data.get("modified_arguments") or data.get("mcp_arguments") or {}
    server, name = data["mcp_server_name"], data["mcp_tool_name"]
    if not isinstance(server, str) or not isinstance(name, str) or not isinstance(arguments, Mapping):
        raise TypeError("LiteLLM names no server, no tool or no arguments")
    return ToolCall(
        id=id if isinstance(id, str) else None,
        server=server,
        name=name,
        arguments=dict(arguments),
        bearer=data.get("incoming_bearer_token") or None,
        headers=headers,
        auth=auth,
    )


def _refusal(error: CallError) -> HTTPException:
    """The status of our table; what we cannot tell, or did wrong, is 503."""
    status = error.reason.status if error.reason.status < 500 else 503
    detail = {"error": error.message, "reason": error.reason.code, "record": error.record}
    headers = {}
    if status == 401:
        # Not the challenge of our own addresses: no client calls those.
        sent = ' error="invalid_token"' if error.reason.code == "credential_invalid" else ""
        headers["WWW-Authenticate"] = f"Bearer{sent}"
    elif status == 503:
        headers["Retry-After"] = "2"
    return HTTPException(status, detail, headers)


def _id_in(kwargs: Any) -> object:
    return kwargs.get("litellm_call_id") if isinstance(kwargs, Mapping) else None
