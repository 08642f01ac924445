"""Compare what was charged with what a provider billed, by day and model.

Forms of bills, each with its source:

- OpenAI's organization costs: https://platform.openai.com/docs/api-reference/usage/costs
- Anthropic's cost export of the console, and any CSV with the same columns
- AWS's Cost and Usage Report: https://docs.aws.amazon.com/cur/latest/userguide/Lineitem-columns.html
- Google Cloud's billing export: https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/standard-usage
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tollgate.core.errors import SettingsError

_NANO = 10**9
_WHOLE = ""
_BETWEEN = " | "


@dataclass(frozen=True, slots=True)
class BilledCost:
    """What a provider billed. `model`: as the provider names it, or several texts with `|` between
    them of which one may; '' if it does not.
    """

    day: str
    model: str
    nanousd: int


@dataclass(frozen=True, slots=True)
class ChargedCost:
    """What Tollgate charged. `model`: the provider's model of the deployment."""

    day: str
    model: str
    nanousd: int


@dataclass(frozen=True, slots=True)
class ReconciledRow:
    """Both amounts of a day and model; `model` '' holds what no model of the other side matches."""

    day: str
    model: str
    charged_nanousd: int
    billed_nanousd: int

    @property
    def capture_rate(self) -> float | None:
        """Return charged over billed; None if nothing was billed."""
        return self.charged_nanousd / self.billed_nanousd if self.billed_nanousd else None


@dataclass(frozen=True, slots=True)
class BillForm:
    """Which columns of a CSV hold what; names are in lower case.

    The first that a row fills counts; a model may stand in any of its own. `services`: only rows
    count of which one of these matches `service`. `kinds`: of rows that fill one of these, only
    those that match `kind`, so no taxes, credits and corrections.
    """

    days: tuple[str, ...]
    models: tuple[str, ...]
    costs: tuple[str, ...]
    services: tuple[str, ...] = ()
    service: str = ""
    kinds: tuple[str, ...] = ()
    kind: str = ""
    currencies: tuple[str, ...] = ("currency",)


BILL_FORMS: Mapping[str, BillForm] = {
    "openai": BillForm(
        ("start_time_iso", "date", "day", "usage_date_utc"),
        ("line_item", "model"),
        ("amount_value", "amount", "cost_usd", "cost"),
        currencies=("amount_currency", "currency"),
    ),
    "anthropic": BillForm(
        ("usage_date_utc", "usage_date", "date", "day"),
        ("model",),
        ("cost_usd", "cost", "amount"),
    ),
    "bedrock": BillForm(
        ("line_item_usage_start_date", "lineitem/usagestartdate"),
        (
            "product_model",
            "product/model",
            "line_item_line_item_description",
            "lineitem/lineitemdescription",
            "line_item_usage_type",
            "lineitem/usagetype",
            "product_product_name",
            "product/productname",
        ),
        ("line_item_unblended_cost", "lineitem/unblendedcost"),
        # Models of other makers come by AWS Marketplace: their product code is a random text.
        (
            "line_item_product_code",
            "lineitem/productcode",
            "product_product_name",
            "product/productname",
        ),
        "bedrock",
        ("line_item_line_item_type", "lineitem/lineitemtype"),
        "usage",
        ("line_item_currency_code", "lineitem/currencycode"),
    ),
    "vertex": BillForm(
        ("usage_start_time", "usage start date", "date"),
        ("sku.description", "sku_description", "sku description"),
        ("cost", "cost ($)", "subtotal ($)"),
        ("service.description", "service_description", "service description"),
        "vertex|gemini",
        ("cost_type", "cost type"),
        "regular|usage",
    ),
}
"""Forms of bills by provider."""


def read_bill(provider: str, content: bytes) -> list[BilledCost]:
    """Read a file of costs: JSON pages of OpenAI, or CSV. Raises SettingsError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError("the file of costs is not UTF-8") from error
    if text.lstrip()[:1] in ("{", "["):
        if provider != "openai":
            raise SettingsError(f"costs of {provider} are read from CSV")
        try:
            pages = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"the file of costs is no JSON: {error}") from error
        return read_openai(pages if isinstance(pages, list) else [pages])
    return _read_csv(BILL_FORMS[provider], text)


def read_openai(pages: Iterable[Any]) -> list[BilledCost]:
    """Read pages of OpenAI's organization costs, grouped by line item or not.

    Raises SettingsError.
    """
    found, last = [], None
    try:
        for last in pages:
            for bucket in last["data"]:
                day = datetime.fromtimestamp(bucket["start_time"], UTC).date().isoformat()
                for result in bucket["results"]:
                    _check_currency(result["amount"].get("currency"))
                    model = (result.get("line_item") or "").partition(",")[0].strip()
                    found.append(BilledCost(day, model, _nanousd(result["amount"]["value"])))
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"the costs are no page of OpenAI's: {error!r}") from error
    if last is not None and last.get("has_more"):
        raise SettingsError("the costs are cut: the last page says that there are more")
    return found


def reconcile(charged: Iterable[ChargedCost], billed: Iterable[BilledCost]) -> list[ReconciledRow]:
    """Return both by day and model of what was charged; what matches no model is of ''.

    A bill names a model by its name and a date, a version or a kind of token: `gpt-4o-2024-08-06,
    input` is gpt-4o, `gpt-4o-mini` is not.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    models = set[str]()
    for each in charged:
        models.add(each.model)
        sums.setdefault((each.day, each.model), [0, 0])[0] += each.nanousd
    for cost in billed:
        model = _match(cost.model, models)
        sums.setdefault((cost.day, model), [0, 0])[1] += cost.nanousd
    return [ReconciledRow(day, model, *sums[day, model]) for day, model in sorted(sums)]


def total(rows: Sequence[ReconciledRow]) -> ReconciledRow:
    """Return the sum of all rows."""
    return ReconciledRow(
        "total",
        _WHOLE,
        sum(each.charged_nanousd for each in rows),
        sum(each.billed_nanousd for each in rows),
    )


_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
# What may stand before a model's name, and between it and the end: a date and a version.
_MAKER = re.compile(r"^((us|eu|apac|global)-)?(amazon|anthropic|cohere|meta|mistral|openai)-")
_DATED = re.compile(r"(-[0-9]{8}|-[0-9]{4}-[0-9]{2}-[0-9]{2})?(-v[0-9]+(-[0-9]+)?)?$")
# What a bill says behind a model's name; anything else makes it the name of another model.
_BEHIND = re.compile(
    r"-([0-9]{4,8}|v[0-9]|input|output|cached?|caching|text|tokens?|prompt|completions?|batch|latest"
    r"|ga|amazon-bedrock|(audio|image|video)-(input|cached?|caching|token))\b"
)


def _match(billed: str, models: Collection[str]) -> str:
    """Return the model that a bill names; '' for none."""
    found = (_match_text(each, models) for each in billed.split("|"))
    return next(filter(None, found), _WHOLE)


def _match_text(billed: str, models: Collection[str]) -> str:
    told = f"-{_plain(billed)}"
    best, longest = _WHOLE, 0
    for model in models:
        name = _DATED.sub("", _MAKER.sub("", _plain(model)))
        _, found, behind = told.rpartition(f"-{name}")
        named = bool(found) and bool(name) and (not behind or _BEHIND.match(behind) is not None)
        if named and len(name) > longest:
            best, longest = model, len(name)
    return best


def _plain(model: str) -> str:
    """Return a model's name without what bills spell otherwise: case, dots, spaces."""
    return re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-")


def _read_csv(form: BillForm, text: str) -> list[BilledCost]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    names = {name.strip().lower(): name for name in reader.fieldnames or ()}
    days = _columns(form.days, names, "a day")
    models = _columns(form.models, names, "a model")
    costs = _columns(form.costs, names, "a cost")
    services, kinds, currencies = (
        [names[each] for each in wanted if each in names]
        for wanted in (form.services, form.kinds, form.currencies)
    )
    found = []
    for row in reader:
        service, kind = " ".join(row[each] or "" for each in services), _first(row, kinds)
        if services and not re.search(form.service, service.lower()):
            continue
        if kind and not re.search(form.kind, kind.lower()):
            continue
        _check_currency(_first(row, currencies))
        cost = _nanousd(_first(row, costs) or "0")
        named = [text for each in models if (text := (row[each] or "").strip())]
        found.append(BilledCost(_utc_day(_first(row, days)), _BETWEEN.join(named), cost))
    return found


def _columns(wanted: Sequence[str], names: Mapping[str, str], what: str) -> list[str]:
    """Return the columns of a file that may hold something. Raises SettingsError for none."""
    if found := [names[each] for each in wanted if each in names]:
        return found
    raise SettingsError(f"the file of costs has no column for {what}: one of {', '.join(wanted)}")


def _first(row: Mapping[str, str | None], columns: Iterable[str]) -> str:
    """Return the first of some columns that a row fills; '' for none."""
    return next((text for each in columns if (text := (row[each] or "").strip())), "")


def _utc_day(text: str) -> str:
    """Return the day of UTC of a day or time of ISO 8601. Raises SettingsError."""
    try:
        moment = datetime.fromisoformat(text.removesuffix("UTC").strip())
    except ValueError as error:
        raise SettingsError(
            f"{text!r} in the file of costs is no day or time of ISO 8601, as 2026-11-27"
        ) from error
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date().isoformat()


def _check_currency(currency: str | None) -> None:
    if currency and currency.strip().lower() != "usd":
        raise SettingsError(f"the file of costs is in {currency.strip()}; dollars are compared")


def _nanousd(dollars: object) -> int:
    text = str(dollars).strip().lstrip("$")
    # A comma as in 1,000.50; where it separates cents, the amount would be another one.
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        amount = Decimal(text)
        if not amount.is_finite():
            raise InvalidOperation
        return round(amount * _NANO)
    except InvalidOperation as error:
        raise SettingsError(f"{dollars!r} in the file of costs is no amount") from error
