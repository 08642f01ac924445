"""Read a configuration file together with the files that it includes."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tollgate.core.errors import SettingsError

# libyaml's, which is faster by half: a running gateway reads its file again when it changes.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 100
_MERGE = "tag:yaml.org,2002:merge"
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
        manifest = "; give what stands in the manifest's `data`" if "kind" in document else ""
        raise SettingsError(
            f"{path} has none of {', '.join(sorted(_SECTIONS))}; it begins with"
            f" {next(iter(document))!r}{manifest}"
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
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        document, repeated = _load(text)
    except OSError as error:
        raise SettingsError(f"{place}cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{place}{path} is not valid YAML: {_words(error)}{_hint(text)}"
        ) from error
    if repeated:
        raise SettingsError("\n".join(f"{place}{path}: {each}" for each in repeated))
    if not isinstance(document, dict):
        found = "is empty; it" if document is None else "holds no mapping; it"
        raise SettingsError(
            f"{place}{path} {found} must hold a mapping with model_list, general_settings,"
            " litellm_settings or tollgate"
        )
    return _unwrapped(document)


def _load(text: str) -> tuple[Any, list[str]]:
    """Return what YAML holds, or a line for each name that it gives two values.

    A parser takes the last of them, so a list of models or a limit would go without a word. Raises
    YAMLError.
    """
    loader = _LOADER(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, []
        # Before the construction: that puts merged mappings (`<<`) among a node's own pairs.
        repeated = list(_repeated(root))
        if repeated:
            return None, repeated
        return loader.construct_document(root), repeated
    finally:
        loader.dispose()


def _repeated(root: yaml.Node) -> Iterator[str]:
    """Yield a line for each name with two values, and for values without an end."""
    # An anchor is one node, wherever it is named. `within`: the nodes around the one looked at.
    passed, within = {id(root)}, {id(root)}
    nodes = [(root, iter(_parts(root)))]
    while nodes:
        node, parts = nodes[-1]
        each = next(parts, None)
        if each is None:
            nodes.pop()
            within.discard(id(node))
            if isinstance(node, yaml.MappingNode):
                yield from _contradictions(node)
        elif id(each) in within:
            yield f"line {each.start_mark.line + 1}: an anchor contains itself"
        elif len(nodes) > _DEEPEST:
            yield f"line {each.start_mark.line + 1}: values are nested more than {_DEEPEST} deep"
            return
        elif id(each) not in passed:
            passed.add(id(each))
            within.add(id(each))
            nodes.append((each, iter(_parts(each))))


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _contradictions(mapping: yaml.MappingNode) -> Iterator[str]:
    """Yield a line for each name of a mapping that stands twice with different values."""
    held: dict[object, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in mapping.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        first, before = held.setdefault((key.tag, key.value), (key, value))
        if before is not value and _shown(before) != _shown(value):
            lines = f"{first.start_mark.line + 1} and {key.start_mark.line + 1}"
            yield f"{key.value} stands twice, with different values (lines {lines}); leave one out"


def _shown(node: yaml.Node) -> object:
    """Return a scalar's value; any other node is like no other."""
    return (node.tag, node.value) if isinstance(node, yaml.ScalarNode) else node


def _words(error: Exception) -> str:
    """Return what is wrong in a text and where, without the parser's name for the text."""
    mark = getattr(error, "problem_mark", None)
    if isinstance(error, yaml.MarkedYAMLError) and mark is not None:
        why = " ".join(filter(None, (error.context, error.problem)))
        return f"line {mark.line + 1}, column {mark.column + 1}: {why}"
    return " ".join(str(error).split())


def _hint(text: str) -> str:
    """Return what a text is that is often given in place of YAML; empty if nobody knows."""
    if "{{" in text:
        return "; it has {{ }} of a template: render that first (`helm template`)"
    if re.search(r"^ *\t", text, re.MULTILINE):
        return "; YAML is indented by spaces, not by tabs"
    if re.search(r"^---", text, re.MULTILINE):
        return "; give one document alone"
    return ""
