"""What a price book takes over from the one before it, when the configuration changes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from tollgate.adapters.prices import PriceBook
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.costs import CostName, OwnPrice

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
GPT = Deployment("d", "public", "openai", "gpt-4o", "http://mock-llm")


def test_what_has_not_changed_is_priced_once() -> None:
    """Of hundreds of deployments, a change of one prices that one."""
    before = PriceBook([GPT, replace(GPT, id="other")], {})
    earlier = before.at(NOVEMBER)
    dearer = {"other": OwnPrice({CostName("input"): Decimal(1)})}
    found = PriceBook([GPT, replace(GPT, id="other")], dearer, None, before).at(NOVEMBER)
    assert found["d"] is earlier["d"]
    assert found["other"].source != earlier["other"].source
    moved = PriceBook([replace(GPT, model="gpt-4o-mini")], {}, None, before).at(NOVEMBER)
    assert moved["d"].source == "openai/gpt-4o-mini"


def test_nothing_is_taken_over_of_another_minute_or_beside_another_price_file(
    tmp_path: Path,
) -> None:
    """Some prices depend on the time of day."""
    before = PriceBook([GPT], {})
    earlier = before.at(NOVEMBER)
    later = PriceBook([GPT], {}, None, before).at(NOVEMBER + timedelta(minutes=1))
    assert later["d"] is not earlier["d"]
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"gpt-4o": {"output_cost_per_token": 1}}))
    assert "price_file" in PriceBook([GPT], {}, file, before).at(NOVEMBER)["d"].source
