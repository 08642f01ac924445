"""/openapi.json: whoever reads it alone can call the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.management_fixtures import MASTER, Api, World
from tests.unit.memory_registry import MemoryAuditLog

from tollgate.adapters.http_api import create_api

WORLD = World()
DOCUMENT: dict[str, Any] = create_api(
    WORLD.management,
    version="test",
    watched=WORLD.watched,
    reported=WORLD.reports,
    refused=WORLD.refused,
    usage_sums=WORLD.usage_sums,
    levels=WORLD.levels,
    audit_log=MemoryAuditLog(WORLD.registry),
).openapi()
ROOT = Path(__file__).parents[4]
GLOSSARY = "plugin/tollgate/adapters/http_api/glossary.yaml"


EXAMPLES = "plugin/tollgate/adapters/http_api/request_examples.yaml"


def described() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation, with its method and path."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for method, path, operation in described():
        yield f"{method} {path}", operation


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of every body and answer, and every parameter."""
    for model, schema in DOCUMENT["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            yield f"{model}.{name}", field
    for place, operation in operations():
        for parameter in operation.get("parameters", ()):
            yield f"{place}?{parameter['name']}", parameter


def test_every_field_says_what_it_means() -> None:
    """With its unit, and with an example: from glossary.yaml, by the field's name."""
    assert [place for place, field in fields() if not field.get("description")] == [], (
        f"add them to {GLOSSARY}"
    )
    lacking = [
        place
        for place, field in fields()
        if not {"example", "examples", "properties"} & field.keys()
        and not place.startswith("Error")
    ]
    assert lacking == []
    assert len(list(fields())) > 600


def test_money_and_durations_name_their_unit() -> None:
    """Dollars or nano-dollars; what a duration looks like."""
    money = {"budget", "spend", "cost"}
    for place, field in fields():
        name = place.rpartition(".")[2].rpartition("?")[2]
        if any(name.endswith(each) for each in money) and name not in ("budget",):
            assert "dollars" in field["description"].lower(), place
        if name.endswith("_duration") and not name.startswith("team_member"):
            assert "s, m, h, d, w or mo" in field["description"], place


def test_the_glossary_holds_nothing_that_is_not_there() -> None:
    """Entries of fields that are gone go too."""
    glossary = yaml.safe_load((ROOT / GLOSSARY).read_text(encoding="utf-8"))
    odd = [
        name for name, entry in glossary.items() if len(entry) != 2 or not isinstance(entry[0], str)
    ]
    assert odd == []
    names = {place.rpartition("?")[2] if "?" in place else place for place, _ in fields()}
    plain = {name.rpartition(".")[2] for name in names}
    assert sorted(each for each in glossary if each.lstrip("?") not in names | plain) == []


async def test_the_example_of_every_body_works_as_it_stands(api: Api) -> None:
    """Sent one after the other, as "Try it out" does; those of paths by their parameters'."""
    examples = {}
    for method, path, operation in described():
        if "requestBody" in operation:
            (content,) = operation["requestBody"]["content"].values()
            assert "example" in content, f"add {method} {path} to {EXAMPLES}"
            named = {each["name"]: each["example"] for each in operation.get("parameters", ())}
            examples[f"{method} {path}"] = (method, path.format_map(named), content["example"])
    order = yaml.safe_load((ROOT / EXAMPLES).read_text(encoding="utf-8"))
    assert order.keys() == examples.keys()
    for place in order:
        method, path, body = examples[place]
        headers = {"authorization": f"Bearer {MASTER}"}
        answer = await api.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 200, (place, answer.text)


def test_it_says_how_one_signs_in() -> None:
    """By bearer, or in any of the headers where keys are found; health needs nothing."""
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert {"x-litellm-api-key", "x-api-key", "api-key"} <= set(schemes)
    assert {name for each in DOCUMENT["security"] for name in each} == set(schemes)
    assert DOCUMENT["paths"]["/health/readiness"]["get"]["security"] == []


def test_it_tells_the_errors_that_there_are() -> None:
    """400 for what cannot be served, not FastAPI's 422."""
    for place, operation in operations():
        assert "422" not in operation["responses"], place
        assert {"400", "401", "404", "503"} <= operation["responses"].keys(), place


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_the_reference_is_served_to_everybody(api: Api, path: str) -> None:
    """It holds no secret."""
    assert (await api.client.get(path)).status_code == 200
