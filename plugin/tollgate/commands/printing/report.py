"""Describe a configuration file in readable lines, for `tollgate check`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from tollgate.adapters.prices import PriceBook, differences, read_price_file
from tollgate.adapters.valkey.connection.address import StoreAddress
from tollgate.core.errors import SettingsError
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.wildcards import is_wildcard
from tollgate.core.money.picture_rates import PictureRate
from tollgate.core.money.pricing import FEMTO_PER_DOLLAR, Price
from tollgate.core.requests.endpoints import Wire, metered_apis, wires_of
from tollgate.core.usage.reach import left_to_ext_proc, reach_of
from tollgate.gateway.exposure import warnings
from tollgate.settings import Settings
from tollgate.settings.provider_defaults import API_BASES, KEYLESS, key_variables
from tollgate.shipped_tables import api_table

_MEDIA = ("input_audio", "output_audio", "output_image", "output_video")


def describe(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """Return lines about models, proxy limits, the store, what native mode cannot read, and
    notices.

    They contain no secret.
    """
    prices = PriceBook(settings.deployments, settings.prices, settings.tollgate.price_file).at(
        datetime.now(UTC)
    )
    return [
        f"models: {len(settings.entries)}",
        *_table(
            [_model(settings, environment, prices.get(each.id), each) for each in settings.entries]
        ),
        "limits of all traffic:",
        *_limits(settings),
        f"store: {_store(settings)}",
        "usage of replies in native mode (in grpc mode ext_proc reads all of it):",
        *_table(_native(settings)),
        *_missing(settings, prices),
        *_unknown_base_models(settings, prices),
        *(f"notice: {each}" for each in settings.notices),
        *(f"warning: {each}" for each in (*settings.warnings, *warnings(settings))),
    ]


def compare_prices(settings: Settings, file: Path) -> list[str]:
    """Return differences of more than 5 % between the prices in force and a file in LiteLLM's form.

    Raises SettingsError.
    """
    try:
        theirs = read_price_file(file)
    except OSError as error:
        raise SettingsError(f"cannot read the price file {file}: {error.strerror}") from error
    prices = PriceBook(settings.deployments, settings.prices, settings.tollgate.price_file).at(
        datetime.now(UTC)
    )
    found = list(differences(settings.entries, prices, settings.prices, theirs))
    if not found:
        return [f"no price differs by more than 5 % from {file}"]
    rows = [
        (f"  {each.model}", each.kind, _asked(each.ours), f"there {_asked(each.theirs)}")
        for each in found
    ]
    return [f"prices that differ by more than 5 % from {file}, in dollars a unit:", *_table(rows)]


def _asked(dollars: Decimal | None) -> str:
    if dollars is None:
        return "none"
    return f"{dollars.normalize():f}"


def _model(
    settings: Settings, environment: Mapping[str, str], price: Price | None, model: Deployment
) -> tuple[str, ...]:
    return (
        f"  {model.model_name}",
        f"{model.provider}/{model.model}",
        model.api_base,
        _key(settings, environment, model),
        "each model's own price"
        if price is None and is_wildcard(model.model)
        else _price(settings, price),
    )


def _key(settings: Settings, environment: Mapping[str, str], model: Deployment) -> str:
    credential = settings.credentials.get(model.id)
    if credential is None:
        usual = key_variables(model.provider)
        if model.provider in API_BASES and usual and model.provider not in KEYLESS:
            return f"no key ({usual[0]} is not set)"
        return "no key"
    if credential.value is not None:
        return "key in the file"
    return f"key in {credential.variable}" + (
        "" if environment.get(credential.variable) else " (not set)"
    )


def _price(settings: Settings, price: Price | None) -> str:
    if price is None:
        return f"no price: {settings.tollgate.unpriced_models}"
    tiers = f", {len(price.tiers)} tiers" if len(price.tiers) > 1 else ""
    as_of = f", {price.as_of}" if price.as_of else ""
    doubt = f"; charged too roughly: {', '.join(price.unpriced)}" if price.unpriced else ""
    return f"{_units(price)} ({price.source}{as_of}{tiers}){doubt}"


def _units(price: Price) -> str:
    """Return the units by which a model is priced, with what they cost."""
    rates = price.tiers[0]
    if price.by_picture:
        return _pictures(price.pictures)
    if rates.audio_second is not None and not (rates.input or rates.output):
        return f"${_dollars(rates.audio_second * 60)} a minute of sound"
    if rates.character and not (rates.input or rates.output):
        return f"${_per_million(rates.character)} per million characters"
    if rates.page is not None and not (rates.input or rates.output):
        return f"${_dollars(rates.page)} a page"
    return f"${_per_million(rates.input)} in, ${_per_million(rates.output)} out per million tokens"


def _pictures(rates: Sequence[PictureRate]) -> str:
    """Return what pictures cost: each kind, the cheapest first."""
    several = sorted(rates, key=lambda each: each.femtousd)
    by_size = [
        f"${_per_million(each.femtousd)} a million pixels{_of(each)}"
        if each.kind.by_pixel
        else f"${_dollars(each.femtousd)} a picture{_of(each)}"
        for each in several
    ]
    return ", ".join(by_size)


def _of(rate: PictureRate) -> str:
    return f" ({rate.kind})" if str(rate.kind) else ""


def _missing(settings: Settings, prices: Mapping[str, Price]) -> list[str]:
    """Return the parts of replies that would be reported as unpriced, by model."""
    rows = [
        (f"  {each.model_name}", ", ".join(lacking))
        for each in settings.entries
        if (price := prices.get(each.id)) is not None
        and not price.free
        and not price.by_picture
        and (lacking := [name for name in _MEDIA if getattr(price.tiers[0], name) is None])
    ]
    if not rows:
        return []
    return ["parts without a price, charged as text and reported as unpriced:", *_table(rows)]


def _unknown_base_models(settings: Settings, prices: Mapping[str, Price]) -> list[str]:
    return [
        f"warning: model_list: {each.model_name}: no known price for the base_model {named!r}"
        for each in settings.entries
        if (named := settings.prices[each.id].base_model) is not None and each.id not in prices
    ]


def _dollars(femto_dollars: int) -> str:
    return f"{(Decimal(femto_dollars) / FEMTO_PER_DOLLAR).normalize():f}"


def _per_million(femto_dollars: int) -> str:
    return f"{(Decimal(femto_dollars) * 1_000_000 / FEMTO_PER_DOLLAR).normalize():f}"


def _limits(settings: Settings) -> list[str]:
    limits = settings.litellm
    lines = []
    if limits.max_budget is not None:
        lines.append(f"  ${limits.max_budget} {_per(limits.budget_duration)}")
    if limits.max_end_user_budget is not None:
        lines.append(f"  ${limits.max_end_user_budget} for each customer that nobody registered")
    if limits.max_end_user_budget_id is not None:
        name = limits.max_end_user_budget_id
        lines.append(f"  the budget {name} for each customer without limits of its own")
    return lines or ["  none"]


def _per(duration: str | None) -> str:
    if duration is None:
        return "in all, never reset"
    return f"every {duration}"


def _store(settings: Settings) -> str:
    ours = settings.tollgate
    if ours.redis_url is None:
        return f"embedded, state in {ours.state_dir}"
    return f"the Valkey or Redis at {StoreAddress.of(ours.redis_url)}"


def _native(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield a line for each API through which a model of the file can be called."""
    wires = {wire for each in settings.deployments for wire in wires_of(each)}
    table = api_table()
    for name in dict.fromkeys(api for wire in Wire if wire in wires for api in metered_apis(wire)):
        left = left_to_ext_proc(table[name])
        if not reach_of(table[name]).words:
            yield f"  {name}", f"read by ext_proc: {left[0]}"
        else:
            yield (
                f"  {name}",
                "read by Envoy" + (f"; by ext_proc: {'; '.join(left)}" if left else ""),
            )


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
