"""A row of tests/e2e/money: read, made into a deployment and a request, and compared with what was
charged.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROWS = Path(__file__).parent / "money"
Row = Mapping[str, Any]
_SAMPLES_A_SECOND = 8000
# Providers whose address has no version: their paths bring it.
_UNVERSIONED = ("anthropic", "gemini", "vertex_ai", "bedrock", "cohere", "azure", "ollama")
_MORE_PARAMS: dict[str, dict[str, str]] = {
    "vertex_ai": {"vertex_project": "p"},
    "bedrock": {
        "aws_region_name": "us-east-1",
        "aws_access_key_id": "AKIDTEST",
        "aws_secret_access_key": "secret",
    },
    "azure": {"api_version": "2024-10-21"},
}
_NOT_COUNTS = frozenset({
    "status", "reaches_provider", "cost_nanousd", "table_nanousd", "at_least_usd", "at_most_usd",
    "certainty", "unpriced", "any_of",
})  # fmt: skip


def read_rows() -> list[Row]:
    """Every row there is."""
    return [
        json.loads(line)
        for file in sorted(ROWS.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def group_of(row: Row) -> str:
    """The gateway that a row runs on: rows of equal settings share one."""
    settings = json.dumps(row.get("settings", {}), sort_keys=True)
    return f"{row['id']} {settings}" if row.get("alone") else settings


def public_name(row: Row) -> str:
    """The model as clients name it."""
    return str(row.get("model_name", row["id"]))


def config(rows: list[Row], port: int) -> str:
    """A configuration file with the deployments of rows that share their settings."""
    file: dict[str, Any] = {
        "model_list": [_deployment(row, port) for row in rows],
        "general_settings": {"master_key": "sk-1234"},
    }
    for section, settings in rows[0].get("settings", {}).items():
        file[section] = {**file.get(section, {}), **settings}
    return yaml.safe_dump(file, allow_unicode=True)


def _deployment(row: Row, port: int) -> dict[str, Any]:
    params = dict(row["deployment"])
    info = params.pop("model_info", {})
    provider = params["model"].split("/")[0]
    base = f"http://127.0.0.1:{port}/{row['id']}"
    params["api_base"] = base if provider in _UNVERSIONED else f"{base}/v1"
    params.setdefault("api_key", "provider-key")
    params = _MORE_PARAMS.get(provider, {}) | params
    entry = {"model_name": public_name(row), "litellm_params": params}
    return entry | ({"model_info": info} if info else {})


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """A value of a row with repeated texts written out and `{names}` put in."""
    if isinstance(value, dict):
        if value.keys() == {"repeat", "text"}:
            return value["text"] * value["repeat"]
        return {key: filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, names) for each in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
    return value


def content(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    """What a row's client sends, as httpx takes it."""
    if "form" in row:
        form = filled(row["form"], names)
        files = {
            name: (f"{name}.wav", _silence(value["wav_seconds"]), "audio/wav")
            for name, value in form.items()
            if isinstance(value, dict)
        }
        fields = {name: value for name, value in form.items() if name not in files}
        return {"data": fields, "files": files}
    text = filled(row["request_raw"], names) if "request_raw" in row else None
    raw = json.dumps(filled(row["request"], names)) if text is None else text
    return {"content": raw.encode(), "headers": {"content-type": "application/json"}}


def _silence(seconds: int) -> bytes:
    """A WAV file: 8 kHz, 8 bit, mono."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(_SAMPLES_A_SECOND)
        sound.writeframes(b"\x80" * seconds * _SAMPLES_A_SECOND)
    return file.getvalue()


def faults(expect: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """What is not as expected. `told`: the explanation, with `status` and `arrived`."""
    if "any_of" in expect:
        each = [faults(one, told) for one in expect["any_of"]]
        return [] if [] in each else [" or ".join("; ".join(one) for one in each)]
    return list(_faults(expect, told))


def _faults(expect: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    cost = told["cost_nanousd"]
    checks = {
        "status": told["reply_status"] in _listed(expect.get("status")),
        "reaches_provider": bool(told["arrived"]) == expect.get("reaches_provider"),
        "cost_nanousd": cost == expect.get("cost_nanousd"),
        "table_nanousd": _rounded(told["sum_nanousd"]) == expect.get("table_nanousd"),
        "at_least_usd": cost >= round(expect.get("at_least_usd", 0) * 1e9),
        "at_most_usd": cost <= round(expect.get("at_most_usd", 0) * 1e9),
        "certainty": told["usage"] in _listed(expect.get("certainty")),
        "unpriced": set(expect.get("unpriced", ())) <= set(told.get("unpriced", ())),
    }
    for name in expect.keys() - _NOT_COUNTS:
        checks[name] = _is_count(told["tokens"].get(name), expect[name])
    for name in expect:
        if not checks[name]:
            counts = {kind: count for kind, count in told["tokens"].items() if count}
            yield f"{name} {expect[name]} expected, got {cost} {told['usage']} {counts}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _rounded(nanousd: str) -> int:
    return round(float(nanousd))


def _is_count(count: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return bool(expected.get("at_least", 0) <= count <= expected.get("at_most", count))
    return bool(count == expected)


def dotted(answer: Any, place: str) -> Any:
    """The value at a place such as `info.spend`."""
    for name in place.split("."):
        answer = answer[name]
    return answer
