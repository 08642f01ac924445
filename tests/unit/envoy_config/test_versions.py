"""What is rendered for older Envoys; `make envoys` runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from tollgate.core.envoy_contract import METER_FILTER, READ_BY_EXT_PROC
from tollgate.core.errors import SettingsError
from tollgate.core.usage.native import Framing, reader_name
from tollgate.envoy_config.clusters.failover import chains
from tollgate.envoy_config.http_filters.filters import http_filters
from tollgate.settings import EXAMPLE_FILE, EnvoyVersion, Settings, load

TWICE = """
model_list:
  - {model_name: m, litellm_params: {model: openai/x, api_base: "http://a/v1", api_key: k}}
  - {model_name: m, litellm_params: {model: openai/x, api_base: "http://b/v1", api_key: k}}
general_settings: {master_key: sk-1234}
"""


def rendered_for(version: str, mode: str = "grpc", file: Path = EXAMPLE_FILE) -> Settings:
    loaded = load(file)
    ours = loaded.tollgate.model_copy(update={"envoy_version": version, "mode": mode})
    return Settings(**{**_fields(loaded), "tollgate": ours})


def _fields(loaded: Settings) -> dict[str, Any]:
    return {name: getattr(loaded, name) for name in loaded.__dataclass_fields__}


def choices(settings: Settings) -> dict[str, str]:
    """What reads the reply, as text, by what admission calls it."""
    (found,) = [each for each in http_filters(settings) if each["name"] == METER_FILTER]
    matcher = found["typed_config"]["xds_matcher"]["matcher_tree"]["exact_match_map"]["map"]
    return {name: json.dumps(chosen) for name, chosen in matcher.items()}


def test_the_newest_is_rendered_for_where_nothing_is_said() -> None:
    assert load(EXAMPLE_FILE).tollgate.envoy_version == get_args(EnvoyVersion)[-1]


@pytest.mark.parametrize(
    ("version", "mode", "there", "not_there"),
    [
        ("1.40", "grpc", ("clear_route_cache_headers", "allow_content_length_header"), ()),
        ("1.39", "grpc", ("allow_content_length_header",), ("clear_route_cache_headers",)),
        ("1.37", "grpc", (), ("clear_route_cache_headers", "allow_content_length_header")),
        ("1.40", "native", ("aws_eventstream_parser", "sse_to_metadata"), ()),
        ("1.38", "native", ("sse_to_metadata", "json_to_metadata"), ("aws_eventstream_parser",)),
    ],
)
def test_an_older_envoy_is_told_only_what_it_knows(
    version: str, mode: str, there: tuple[str, ...], not_there: tuple[str, ...]
) -> None:
    text = json.dumps(http_filters(rendered_for(version, mode)))
    assert [each for each in there if each not in text] == []
    assert [each for each in not_there if each in text] == []


def test_what_an_older_envoy_cannot_read_goes_to_ext_proc() -> None:
    """Under the same name: admission does not know which Envoy asks."""
    stream = reader_name("bedrock.converse_stream", Framing.EVENT_STREAM)
    new, old = (choices(rendered_for(each, "native")) for each in ("1.40", "1.39"))
    assert "aws_eventstream_parser" in new[stream]
    assert old[stream] == old[READ_BY_EXT_PROC]


def test_native_mode_is_refused_where_envoy_lacks_it() -> None:
    """With what would be right."""
    with pytest.raises(SettingsError, match=r"native needs Envoy 1.38 or later \(got .* 1.37\)"):
        http_filters(rendered_for("1.37", "native"))


def test_deployments_take_over_from_each_other_where_envoy_can(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(TWICE)
    for version, length in (("1.40", 2), ("1.39", 1)):
        settings = rendered_for(version, file=file)
        assert len(next(chains(settings))) == length
