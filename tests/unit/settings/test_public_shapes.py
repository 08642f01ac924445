"""Files of the shapes that public LiteLLM configurations have: each starts, or says all its faults.

Only the files' owners know the values of the variables that they name, so none is set here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.core.errors import SettingsError
from tollgate.settings import load

SHAPES = Path(__file__).parent / "public_shapes"
SERVED = {
    "anchors": ["gpt-4o", "gpt-4o-alias"],
    "aws": ["claude-bedrock", "nova", "titan"],
    "azure_pair": ["gpt-4", "gpt-4"],
    "everything_beside": ["o3"],
    "local_servers": ["local-llama", "lmstudio", "vllm"],
    "modes": ["gemini-pro", "flash", "whisper", "rerank", "dalle"],
    "small_providers": ["ds", "gh", "nim", "to", "fw", "cb", "px", "dbx", "hf"],
}
"""The models that each file serves; of others a warning says why they are left out."""
FAULTS = {
    "faults": [
        "model_list.1.model_name",
        "model_list: c: litellm_params.model",
        "model_list.3.model_name",
        "model_list: 3: litellm_params.model",
        "general_settings",
        "litellm_settings.max_budget",
        "litellm_settings.budget_duration",
        "model_list: a: api_base",
    ],
    "multi_tenant": [
        "general_settings.enable_jwt_auth",
        "litellm_settings.key_generation_settings",
    ],
}
"""Places that the faults of a file name, all in one run."""


@pytest.mark.parametrize("name", SERVED)
def test_a_file_starts_with_what_can_be_served(name: str) -> None:
    loaded = load(SHAPES / f"{name}.yaml", {"AWS_REGION": "eu-west-1"})
    assert [each.model_name for each in loaded.entries] == SERVED[name]


def test_wildcards_start() -> None:
    """Beside a cache and a database, which only get notices."""
    loaded = load(SHAPES / "wildcards_and_cache.yaml", {})
    assert {"anthropic/*", "*"} <= {each.model_name for each in loaded.entries}


@pytest.mark.parametrize("name", FAULTS)
def test_all_faults_of_a_file_are_said_at_once(name: str) -> None:
    """A line for each, beginning with its place."""
    with pytest.raises(SettingsError) as raised:
        load(SHAPES / f"{name}.yaml", {})
    lines = [each.partition(".yaml: ")[2] for each in str(raised.value).splitlines()]
    for place in FAULTS[name]:
        assert any(line.startswith(place) for line in lines), (place, lines)


def test_what_is_left_out_is_a_warning() -> None:
    """SageMaker and GitHub's Copilot have no address that all use."""
    for name, left in (("aws", "sage"), ("small_providers", "cop")):
        loaded = load(SHAPES / f"{name}.yaml", {"AWS_REGION": "eu-west-1"})
        (warning,) = [each for each in loaded.warnings if "left out" in each]
        assert f"model_list: {left}:" in warning
