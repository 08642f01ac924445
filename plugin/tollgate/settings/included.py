"""Read a configuration file together with the files that it includes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tollgate.core.errors import SettingsError

# libyaml's, which is faster by half: a running gateway reads its file again when it changes.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS = frozenset(
    {
        "credential_list",
        "environment_variables",
        "general_settings",
        "litellm_settings",
        "model_list",
        "router_settings",
        "tollgate",
    }
)


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the cyclic collector rest while a configuration is read.

    It would look at everything that was read so far, again and again, and find no garbage.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_document(path: Path) -> dict[str, Any]:
    """Read a file, and the files in `include` as if their contents were in it.

    Lists are concatenated; for any other section the file read last wins. Paths are relative to the
    including file, and no file is read twice. Raises SettingsError.
    """
    return read_with_sources(path)[0]


def read_with_sources(path: Path) -> tuple[dict[str, Any], frozenset[Path]]:
    """Read as read_document() does, and return the files that were read too."""
    read: set[Path] = set()
    document = _read(path, read, named_by=None)
    if document and not _SECTIONS & document.keys():
        raise SettingsError(
            f"{path} has none of {', '.join(sorted(_SECTIONS))}; it begins with"
            f" {next(iter(document))!r}"
        )
    return document, frozenset(read)


def _read(path: Path, read: set[Path], named_by: Path | None) -> dict[str, Any]:
    read.add(path.resolve())
    document = _parse(path, named_by)
    names = document.pop("include", None) or []
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise SettingsError(f"{path}: include: must be a list of paths")
    for name in names:
        other = path.parent / name
        if other.resolve() not in read:
            _put(document, _read(other, read, named_by=path))
    return document


def _put(document: dict[str, Any], included: dict[str, Any]) -> None:
    for section, value in included.items():
        held = document.get(section)
        if isinstance(value, list) and isinstance(held, list):
            document[section] = [*held, *value]
        elif value is not None:
            document[section] = value


def _unwrapped(document: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration in the values of LiteLLM's Helm chart, which keep it under a name.

    https://github.com/BerriAI/litellm/tree/main/deploy/charts/litellm-helm
    """
    inner = document.get("proxy_config")
    return inner if isinstance(inner, dict) and "model_list" not in document else document


def _parse(path: Path, named_by: Path | None) -> dict[str, Any]:
    place = f"{named_by}: include: " if named_by else ""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except OSError as error:
        raise SettingsError(f"{place}cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{place}{path} is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(document, dict):
        raise SettingsError(
            f"{place}{path} must hold a mapping with model_list, general_settings, litellm_settings"
            " or tollgate"
        )
    return _unwrapped(document)
