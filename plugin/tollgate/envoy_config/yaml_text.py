"""Envoy's configuration as YAML for people."""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out: an alias would tie together what its reader may change apart."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def yaml_text(document: object) -> str:
    """Return a document as YAML, its members in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=140, allow_unicode=True)
