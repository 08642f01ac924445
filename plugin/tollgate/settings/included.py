"""A configuration file with the files that it includes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tollgate.core.errors import SettingsError


def read_document(path: Path) -> dict[str, Any]:
    """Read a file, and what `include` names as if it stood there. Raises SettingsError.

    Lists are joined; of any other section that of the file read last stands. A path is relative to
    the file that names it. A file that was read is not read again.
    """
    return _read(path, read=set(), named_by=None)


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


def _parse(path: Path, named_by: Path | None) -> dict[str, Any]:
    place = f"{named_by}: include: " if named_by else ""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{place}cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{place}{path} is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(document, dict):
        raise SettingsError(
            f"{place}{path} must hold a mapping with model_list, general_settings, litellm_settings or tollgate"
        )
    return document
