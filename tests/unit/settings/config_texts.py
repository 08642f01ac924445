"""Read the text of a configuration file, and what of it a test asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tollgate.adapters.prices import PriceBook
from tollgate.core.errors import SettingsError
from tollgate.settings import Settings, load
from tollgate.topology import Address, Topology

TOPOLOGY = Topology(Address(host="127.0.0.1", port=4000), (Address(path="/w"),), Address(path="/a"))
ONE = "model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o, api_key: k}}]\n"


def read(tmp_path: Path, text: str, allow_unenforced: bool = False, **environment: str) -> Settings:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    return load(file, environment, allow_unenforced=allow_unenforced)


def deployment(tmp_path: Path, params: str, **environment: str) -> Settings:
    return read(
        tmp_path, f"model_list: [{{model_name: m, litellm_params: {{{params}}}}}]", **environment
    )


def faults(tmp_path: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, text, **environment)
    return [line.partition(": ")[2] for line in str(raised.value).splitlines()]


def about(settings: Settings, name: str) -> list[str]:
    return [each for each in settings.notices if name in each]


def prices(settings: Settings) -> dict[str, tuple[str, str]]:
    """Dollars per million tokens of input and output, by deployment."""
    book = PriceBook(settings.deployments, settings.prices).at(datetime(2026, 11, 27, tzinfo=UTC))
    return {
        name: tuple(
            f"{Decimal(rate).scaleb(-9).normalize():f}"
            for rate in (price.tiers[0].input, price.tiers[0].output)
        )  # type: ignore[misc]
        for name, price in book.items()
    }
