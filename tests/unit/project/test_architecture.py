"""The directions of dependency."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import tollgate

ROOT = Path(tollgate.__file__).parent
REPOSITORY = Path(__file__).parents[3]
USE_CASES = (
    "tollgate.admission",
    "tollgate.management",
    "tollgate.metering",
    "tollgate.reporting",
    "tollgate.telemetry",
)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            # `from tollgate import telemetry` names a module too.
            yield from (
                f"{node.module}.{alias.name}" if node.module == "tollgate" else node.module
                for alias in node.names
            )


def imported_below(folder: str) -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for name in imports(path):
            yield path.relative_to(ROOT).as_posix(), name


def test_core_imports_only_the_standard_library_a_json_decoder_and_itself() -> None:
    """Core is pure: no I/O library, no use case, no adapter.

    Decoders of compressed bytes are pure too, and not all in the library.
    """
    allowed = sys.stdlib_module_names | {"msgspec", "brotli", "backports"}
    odd = [
        (path, name)
        for path, name in imported_below("core")
        if name.split(".")[0] not in allowed and not name.startswith("tollgate.core")
    ]
    assert odd == []


def test_core_reads_no_clock_and_draws_no_random_number() -> None:
    """Time and chance come in as arguments."""
    impure = {"time", "random", "secrets", "asyncio", "logging", "socket", "os", "uuid"}
    assert [
        (path, name) for path, name in imported_below("core") if name.split(".")[0] in impure
    ] == []


def test_use_cases_know_no_adapter() -> None:
    """admission, metering and management see ports, not what stands behind them."""
    odd = []
    for module in USE_CASES:
        place = ROOT.joinpath(*module.split(".")[1:])
        paths = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
        for path in paths:
            odd += [
                (path.name, name)
                for name in imports(path)
                if name.startswith(("tollgate.adapters", "tollgate.app", "grpc", "valkey"))
            ]
    assert odd == []


def test_only_its_own_command_imports_the_mock_provider() -> None:
    """It is for demos and tests: a gateway with real providers never loads it."""
    importers = {
        path.split("/")[0] if path.startswith("mock_llm/") else path
        for path, name in imported_below("")
        if name.startswith("tollgate.mock_llm")
    }
    assert importers == {"mock_llm", "commands/mock_llm.py"}


def test_no_adapter_imports_another() -> None:
    """Each folder of adapters stands alone."""
    odd = []
    for path, name in imported_below("adapters"):
        own = path.split("/")[1].removesuffix(".py")
        if name.startswith("tollgate.adapters.") and name.split(".")[2] != own:
            odd.append((path, name))
    assert odd == []


def test_only_the_edges_construct() -> None:
    """Nothing but app/, and the report that `tollgate check` prints of prices, imports concrete
    adapters.
    """
    odd = []
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if place != "commands/printing/report.py" and not place.startswith(("adapters/", "app/")):
            odd += [(place, name) for name in imports(path) if name.startswith("tollgate.adapters")]
    assert odd == []


HEAVY = {
    "worker": (
        "tollgate.app.worker",
        {"fastapi", "starlette", "uvicorn", "jinja2", "itsdangerous", "sqlalchemy", "alembic"}
        | {"typer", "rich", "tollgate.management", "tollgate.adapters.http_api"}
        | {"tollgate.adapters.history", "tollgate.mock_llm", "tollgate.envoy_config"},
    ),
    "admin": (
        "tollgate.app.admin",
        {"sqlalchemy", "alembic", "typer", "rich", "grpc", "hpack", "tollgate.mock_llm"}
        | {"tollgate.envoy_config"},
    ),
    "recorder": (
        "tollgate.app.recorder",
        {"alembic", "mako", "pygments", "fastapi", "genai_prices", "httpx2", "typer", "rich"}
        | {"tollgate.admission", "tollgate.management"},
    ),
}
"""By process: its module, and what it must not keep in memory."""


@pytest.mark.parametrize("name", HEAVY)
def test_a_process_imports_nothing_that_only_others_need(name: str) -> None:
    """Each would pay for it in memory, for as long as it runs."""
    module, heavy = HEAVY[name]
    found = _modules_after("tollgate.app.__main__", module)
    assert module in found
    assert heavy & found == set()


def test_a_supervisor_imports_nothing_that_is_needed_once() -> None:
    """It stays for as long as the gateway runs, and renders, asks and prints only now and then."""
    found = _modules_after(
        "tollgate.commands.main", "tollgate.gateway.supervisor", "tollgate.gateway.running"
    )
    once = {
        "envoy_data_plane",
        "genai_prices",
        "httpx",
        "fastapi",
        "valkey",
        "rich",
        "prometheus_client",
        "tollgate.envoy_config",
        "tollgate.import_litellm",
        "tollgate.mock_llm",
    }
    assert "tollgate.gateway.supervisor" in found
    assert once & found == set()


def _modules_after(*modules: str) -> set[str]:
    """Return the modules of a process that has imported some."""
    listing = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    command = [sys.executable, "-c", listing]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


SAME_NAME_IN = ("routes", "wire", "commands")
"""Folders that hold one file for each noun; in all others a file name stands once in
the package.
"""
MOST_FILES = 14


def own_files() -> Iterator[Path]:
    yield from (
        path for path in sorted(ROOT.rglob("*")) if path.is_file() and "pb" not in path.parts
    )


def test_a_module_has_its_file_name_for_itself() -> None:
    """Whoever opens a file by its name finds the one that is meant."""
    places: dict[str, list[str]] = {}
    for path in own_files():
        place = path.relative_to(ROOT)
        if (
            path.suffix == ".py"
            and path.stem not in {"__init__", "__main__"}
            and not set(SAME_NAME_IN) & set(place.parts)
        ):
            places.setdefault(path.name, []).append(place.as_posix())
    assert [found for found in places.values() if len(found) > 1] == []


def test_a_public_class_has_its_name_for_itself() -> None:
    """One meaning a name; a private one is read where it stands."""
    places: dict[str, list[str]] = {}
    for path in own_files():
        if path.suffix == ".py":
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_a_folder_is_read_in_one_sitting() -> None:
    """At most 14 files: a folder that needs more holds two things."""
    counted = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for path in own_files()
        if "__pycache__" not in path.parts
    )
    assert [(folder, count) for folder, count in counted.items() if count > MOST_FILES] == []


@pytest.mark.parametrize("house", ["", "core", "envoy_config"])
def test_no_room_needs_one_that_needs_it(house: str) -> None:
    """The folders below one folder import each other in one direction only."""
    top = ROOT / house
    prefix = ".".join(("tollgate", *([house] if house else [])))
    rooms = {each.name for each in top.iterdir() if each.is_dir() and each.name != "__pycache__"}
    needs = {
        room: (
            {
                name.removeprefix(f"{prefix}.").split(".")[0]
                for _, name in imported_below(f"{house}/{room}")
                if name.startswith(f"{prefix}.")
            }
            & rooms - {room}
        )
        for room in rooms
    }
    with_nobody_else = TopologicalSorter(needs)
    with_nobody_else.prepare()  # raises CycleError, which names the rooms


WIRE_NAMES = re.compile(r"\b(?:rpm|tpm|rpd|tpd)\b")
WIRE_ROOMS = (
    "adapters/http_api/wire/",
    "core/limits/",
    "import_litellm/",
    "adapters/valkey/counters/first_version.py",
    "adapters/valkey/entities/documents.py",
    "settings/entries/priority_settings.py",
    "settings/page_sections.py",
)


def test_nobody_outside_limits_spells_a_kind_of_limit() -> None:
    """A kind is a row of core/limits/limit.py; others name it by the field of the wire."""
    odd = [
        path.relative_to(ROOT).as_posix()
        for path in own_files()
        if path.suffix in {".py", ".lua"}
        and not path.relative_to(ROOT).as_posix().startswith(WIRE_ROOMS)
        and WIRE_NAMES.search(path.read_text(encoding="utf-8"))
    ]
    assert odd == []


MOST_LINES = 400


def test_a_file_is_read_in_one_sitting() -> None:
    """A longer one holds two things; tests are read too."""
    counted = {
        path.relative_to(REPOSITORY).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*own_files(), *(REPOSITORY / "tests").rglob("*.py")]
        if path.suffix in {".py", ".lua"}
    }
    assert "tests/unit/project/test_architecture.py" in counted
    assert [(name, count) for name, count in counted.items() if count > MOST_LINES] == []


MOST_LINES_OF_A_FUNCTION = 60


def test_no_function_is_longer_than_a_screen() -> None:
    """Signature and docstring are counted; code that protoc writes is not."""
    long = [
        f"{path.relative_to(REPOSITORY)}: {each.name}, {lines} lines"
        for path in [*own_files(), *(REPOSITORY / "tests").rglob("*.py")]
        if path.suffix == ".py"
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (each.end_lineno or each.lineno) - each.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []
