"""The guardrail's hooks as LiteLLM calls them: signed, or an HTTPException of LiteLLM's kind, and nothing in between."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import jwt
import pytest

from counterseal.core.canonical import arguments_digest
from tests.integrations.litellm.opening import URL, written
from tests.support.parties import LITELLM
from tests.support.process import ROOT

pytestmark = pytest.mark.party("litellm")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    config = written(tmp_path_factory.mktemp("inside"))
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    command = [str(LITELLM), "-m", "tests.integrations.litellm.inside", str(config)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def claims(answer: dict[str, Any]) -> dict[str, Any]:
    token = answer["headers"]["Authorization"].removeprefix("Bearer ")
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_a_call_gets_our_header_and_what_litellm_handed_over_stays_as_it_was(found: dict[str, Any]) -> None:
    assert claims(found["signed"])["aud"] == URL
    assert found["signed"]["untouched"]
    assert not found["signed"]["same"]


def test_no_other_guardrail_has_a_header_of_the_same_name_in_any_spelling(found: dict[str, Any]) -> None:
    headers = found["beside"]["headers"]
    assert sorted(name for name in headers if name.lower() == "authorization") == ["Authorization"]
    assert headers["X-Trace"] == "1"


def test_the_token_is_bound_to_what_a_guardrail_before_it_made_of_the_arguments(found: dict[str, Any]) -> None:
    digest = claims(found["replaced"])["authorization_details"][0]["arguments_digest"]
    assert digest == arguments_digest({"city": "Bergen"})


def test_lists_are_left_alone(found: dict[str, Any]) -> None:
    assert found["listed"]["same"]


@pytest.mark.parametrize(
    ("what", "status", "reason"), [("denied", 403, "policy_denied"), ("nobody", 401, "credential_invalid")]
)
def test_a_refusal_has_status_reason_and_record(found: dict[str, Any], what: str, status: int, reason: str) -> None:
    answer = found[what]
    assert (answer["status"], answer["detail"]["reason"]) == (status, reason)
    assert answer["detail"]["record"].startswith("rec_")
    assert ("WWW-Authenticate" in answer["headers"]) == (status == 401)


@pytest.mark.parametrize("what", ["no server", "no tool", "odd arguments", "no form"])
def test_what_cannot_be_understood_is_refused_with_503(found: dict[str, Any], what: str) -> None:
    assert found[what]["status"] == 503


def test_nobody_opts_out_and_calls_of_models_are_none_of_ours(found: dict[str, Any]) -> None:
    assert found["opted out"] is True
    assert found["chat"] is False


def test_no_pipeline_of_a_policy_lets_through_what_is_refused_or_loses_what_is_signed(found: dict[str, Any]) -> None:
    assert found["denied in a pipeline"]["status"] == 403
    assert found["denied in a pipeline"]["detail"]["reason"] == "policy_denied"
    assert claims(found["in a pipeline"])["aud"] == URL


def test_what_is_wrong_at_start_is_nothing_that_litellm_passes_over(found: dict[str, Any]) -> None:
    assert found["starts"].pop("as it is") == "starts"
    assert set(found["starts"].values()) == {"ConfigError"}
