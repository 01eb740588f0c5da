"""The guardrail's own hooks, called as LiteLLM calls them, in LiteLLM's environment: what comes out, as one JSON object.

PYTHONPATH=src:. .litellm/bin/python -m tests.integrations.litellm.inside COUNTERSEAL_YAML
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any

from fastapi import HTTPException
from litellm.caching.caching import DualCache
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.utils import ProxyLogging
from litellm.types.guardrails import GuardrailEventHooks
from litellm.types.proxy.policy_engine.pipeline_types import GuardrailPipeline, PipelineStep

import litellm
from counterseal.errors import ConfigError
from counterseal.integrations.litellm import CountersealGuardrail


def data(**changes: Any) -> dict[str, Any]:
    """As LiteLLM hands it to a guardrail before a call."""
    usual = {
        "mcp_server_name": "weather",
        "mcp_tool_name": "get_weather",
        "mcp_arguments": {"city": "Oslo"},
        "incoming_bearer_token": None,
        "metadata": {"headers": {}},
        "litellm_logging_obj": SimpleNamespace(litellm_call_id="call-1"),
    }
    return {**usual, **changes}


async def main(config: str) -> dict[str, Any]:
    parameters = {"counterseal_config": config, "counterseal_callers": "litellm", "counterseal_documents": False}
    auth = SimpleNamespace(token="0f" * 32, user_id="alice", metadata={}, team_metadata=None)

    def made(**changes: Any) -> Any:
        usual = {"guardrail_name": "counterseal", "event_hook": "pre_mcp_call", "default_on": True, **parameters}
        return CountersealGuardrail(**{**usual, **changes})

    guardrail = made()

    async def asked(call_type: str = "call_mcp_tool", auth: Any = auth, **changes: Any) -> Any:
        given = data(**changes)
        try:
            answer = await guardrail.async_pre_call_hook(auth, None, given, call_type)
        except HTTPException as refused:
            return {"status": refused.status_code, "detail": refused.detail, "headers": refused.headers}
        return {
            "same": answer is given,
            "headers": answer.get("extra_headers"),
            "untouched": "extra_headers" not in given,
        }

    async def in_a_pipeline(tool: str) -> Any:
        """By LiteLLM's own run of its guardrails, for a request to which a policy has a pipeline with ours in it."""
        litellm.callbacks = [guardrail]
        step = PipelineStep(guardrail="counterseal", on_fail="next", on_pass="next")
        metadata = {"headers": {}, "_guardrail_pipelines": [("lax", GuardrailPipeline(mode="pre_call", steps=[step]))]}
        known = UserAPIKeyAuth(token="0f" * 32, user_id="alice")
        given = data(
            metadata=metadata, mcp_tool_name=tool, model="mcp-tool-call", messages=[], litellm_logging_obj=None
        )
        try:
            answer = await ProxyLogging(DualCache()).pre_call_hook(
                user_api_key_dict=known, data=given, call_type="call_mcp_tool"
            )
        except HTTPException as refused:
            return {"status": refused.status_code, "detail": refused.detail}
        return {"headers": (answer or {}).get("extra_headers")}

    def starts(**changes: Any) -> str:
        try:
            made(**changes)
        except Exception as error:
            return type(error).__name__ if isinstance(error, ConfigError) else f"{type(error).__name__}, passed over"
        return "starts"

    found = {
        "signed": await asked(),
        "beside": await asked(extra_headers={"authorization": "Bearer of-another-guardrail", "X-Trace": "1"}),
        "replaced": await asked(modified_arguments={"city": "Bergen"}),
        "listed": await asked("list_mcp_tools"),
        "denied": await asked(mcp_tool_name="delete_all"),
        "nobody": await asked(auth=None),
        "no server": await asked(mcp_server_name=None),
        "no tool": await asked(mcp_tool_name=7),
        "odd arguments": await asked(mcp_arguments=["a"]),
        "no form": await asked(mcp_arguments={"city": object()}),
        "in a pipeline": await in_a_pipeline("get_weather"),
        "denied in a pipeline": await in_a_pipeline("delete_all"),
        "opted out": guardrail.should_run_guardrail(
            {"metadata": {"disable_global_guardrails": True, "opted_out_global_guardrails": ["counterseal"]}},
            GuardrailEventHooks.pre_mcp_call,
        ),
        "chat": guardrail.should_run_guardrail({}, GuardrailEventHooks.pre_call),
        "starts": {
            "as it is": starts(),
            "another mode": starts(event_hook="pre_call"),
            "an unknown key": starts(counterseal_confg="x"),
            "no such file": starts(counterseal_config="/nowhere/counterseal.yaml"),
            "thrown away": starts(run_in_parallel=True),
        },
    }
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
