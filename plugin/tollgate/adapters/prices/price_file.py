"""Read prices of a file in LiteLLM's form (model_prices_and_context_window.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from tollgate.core.errors import SettingsError
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.model_names import parse_model_name, undated
from tollgate.core.money.costs import (
    Costs,
    costs_of,
    name_instead_of_zero,
    picture_costs_of,
)
from tollgate.core.money.picture_rates import PictureCosts, PictureKind, split_picture_name


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A price file in LiteLLM's form.

    - `entries`: by name. `pictures`: for each model the entries whose names select pictures of it,
      as `hd/1024-x-1792/dall-e-3` does.
    """

    entries: Mapping[str, Any]
    pictures: Mapping[str, Sequence[tuple[PictureKind, Mapping[str, Any]]]]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> PriceFile:
        """Read a parsed file."""
        pictures: dict[str, list[tuple[PictureKind, Mapping[str, Any]]]] = {}
        for name, entry in document.items():
            if "-x-" in name and isinstance(entry, dict):
                split = split_picture_name(name, str(entry.get("litellm_provider", "")))
                if split is not None:
                    pictures.setdefault(split[0], []).append((split[1], entry))
        return cls(document, pictures)


NO_PRICES = PriceFile({}, {})


def read_price_file(file: Path) -> PriceFile:
    """Read a price file.

    Raises SettingsError or OSError.
    """
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except ValueError as error:
        raise SettingsError(f"the price file {file} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(
            f"the price file {file} must hold an object, from names of models to their prices"
        )
    return PriceFile.of(document)


def costs_in_file(
    file: PriceFile, deployment: Deployment, base_model: str | None
) -> tuple[Costs, PictureCosts]:
    """Return the prices of a price file for a deployment, and those of pictures that it draws.

    Raises SettingsError.
    """
    bare = parse_model_name(deployment.model).bare
    names = (
        base_model,
        f"{deployment.provider}/{deployment.model}",
        deployment.model,
        bare,
        undated(bare),
    )
    costs: Costs = {}
    pictures: dict[PictureKind, Decimal] = {}
    for name in dict.fromkeys(name for name in names if name is not None):
        entry = file.entries.get(name)
        of_model = [entry] if isinstance(entry, dict) else []
        of_pictures = list(file.pictures.get(name, ()))
        if "/" not in name and name != base_model:
            of_model = [each for each in of_model if _owns(deployment, each)]
            of_pictures = [each for each in of_pictures if _owns(deployment, each[1])]
        stated, drawn = _stated(name, of_model, of_pictures)
        costs, pictures = costs or stated, drawn | pictures
        if of_model:
            break
    return costs, pictures


def _owns(deployment: Deployment, entry: Mapping[str, Any]) -> bool:
    """Return whether an entry is of a deployment's provider."""
    owner = entry.get("litellm_provider", deployment.provider)
    return bool(owner == deployment.provider)


def _stated(
    name: str,
    of_model: Sequence[Mapping[str, Any]],
    of_pictures: Sequence[tuple[PictureKind, Mapping[str, Any]]],
) -> tuple[Costs, dict[PictureKind, Decimal]]:
    costs: Costs = {}
    pictures: dict[PictureKind, Decimal] = {}
    try:
        for entry in of_model:
            costs = {} if name_instead_of_zero(entry) else costs_of(entry)
            pictures |= picture_costs_of(entry)
        for kind, entry in of_pictures:
            for any_kind, dollars in picture_costs_of(entry).items():
                # Zero would be a price that the file does not know.
                if dollars:
                    pictures[replace(kind, by_pixel=any_kind.by_pixel)] = dollars
    except ValueError as error:
        raise SettingsError(f"the price file: {name}: {error}") from error
    return costs, pictures
