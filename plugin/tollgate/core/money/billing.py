"""Bill usage at a price, in integer femto-dollars, and name every part without a price."""

from __future__ import annotations

from collections.abc import Callable

from tollgate.core.calls.asked_pictures import AskedPictures
from tollgate.core.calls.bill import Bill, Line
from tollgate.core.calls.usage import Certainty, Counts, Pass, Usage
from tollgate.core.money.picture_rates import picture_femtousd
from tollgate.core.money.pricing import Price, Rates

FindPrice = Callable[[str], Price | None]
"""Return the price of another model of the same provider, by its name."""

# Vertex writes ON_DEMAND_FLEX where others write flex.
_TRAFFIC = "on_demand_"
# Providers' words for the service tier with ordinary prices.
_ORDINARY = frozenset({"", "auto", "default", "on_demand", "standard", "standard_only"})
# OpenAI's hosted tool draws with a model of its own, which the reply need not name:
# https://platform.openai.com/docs/guides/tools-image-generation
_IMAGE_TOOL = "image_generation"

PARTS = frozenset(
    {
        "input_audio",
        "cache_read_audio",
        "cache_read_image",
        "output_audio",
        "output_image",
        "output_video",
        "search",
        "map_search",
        "source",
        "file_search",
        "code_container",
        "citation",
        "image",
        "page",
        "fine_tuned",
        "online",
        "flex",
        "priority",
        "fast",
        "batch",
        "scale",
    }
)
"""Names of parts that may lack a price; service tiers and passes add the provider's own words."""
_LONGEST_WORD = 40

_Charge = tuple[str, int, int]
"""Kind, units, and femto-dollars per unit."""


def bill(
    usage: Usage,
    price: Price,
    find_price: FindPrice | None = None,
    asked: AskedPictures | None = None,
) -> Bill:
    """Return the bill of a call, line by line.

    `find_price` prices passes that other models ran. `asked`: the pictures that the request asked
    for, where the model is priced by them.
    """
    # No usage, no charge: a missing price does not matter then.
    if usage.certainty is Certainty.NONE:
        return Bill(price.source)
    geography = ""
    if usage.geography is not None and usage.geography in price.geographies:
        geography = usage.geography
        price = price.geographies[geography]
    service_tier, missing = _service_tier(usage, price)
    rates = price.rates(usage.input_tokens, service_tier)
    charges: list[_Charge] = []
    unpriced = [*price.unpriced, missing] if missing else [*price.unpriced]
    if usage.passes:
        own = _without_passes(usage)
        rates = price.rates(own.input_tokens, service_tier)
        _charge(own, rates, charges, unpriced, tokens=not usage.provisioned)
        for each in usage.passes:
            _charge_pass(each, price, service_tier, find_price, charges, unpriced)
    else:
        _charge(usage, rates, charges, unpriced, tokens=not usage.provisioned)
    if rates.request:
        charges.append(("request", 1, rates.request))
    if usage.output_images and price.pictures:
        drawn = asked or AskedPictures(usage.output_images)
        charges.append(("image", usage.output_images, picture_femtousd(price.pictures, drawn)))
    return Bill(
        price.source,
        rates.above_input_tokens,
        service_tier,
        tuple([Line(kind, units, rate) for kind, units, rate in charges if units]),
        tuple(dict.fromkeys(unpriced)) if unpriced else (),
        geography,
        price.as_of,
    )


def cost_nanousd(usage: Usage, price: Price) -> int:
    """Return what a call costs in nano-dollars: the sum of its bill."""
    return bill(usage, price).cost_nanousd


def _service_tier(usage: Usage, price: Price) -> tuple[str, str]:
    """Return the priced service tier (empty for the ordinary one), and the tier
    that lacks prices.
    """
    if usage.service_tier is None:
        return "", ""
    told = usage.service_tier.lower().removeprefix(_TRAFFIC)
    if told in price.service_tiers:
        return told, ""
    return "", "" if told in _ORDINARY or usage.provisioned else told[:_LONGEST_WORD]


def _charge_pass(
    counts: Pass,
    price: Price,
    service_tier: str,
    find_price: FindPrice | None,
    charges: list[_Charge],
    unpriced: list[str],
) -> None:
    """Charge one pass at the rates of the model that ran it."""
    if counts.model is not None:
        found = find_price(counts.model) if find_price is not None else None
        if found is None:
            unpriced.append((counts.kind or counts.model)[:_LONGEST_WORD])
        price = found or price
    elif counts.kind.startswith(_IMAGE_TOOL):
        unpriced.append("image")
    parts: list[_Charge] = []
    _charge(counts, price.rates(counts.input_tokens, service_tier), parts, unpriced, tokens=True)
    charges += [(f"{counts.kind}.{kind}", units, rate) for kind, units, rate in parts]


def _without_passes(usage: Usage) -> Counts:
    """Return what a call used outside its passes."""
    left = {
        name: max(0, count - sum([getattr(each, name) for each in usage.passes]))
        for name in Counts.__struct_fields__
        if (count := getattr(usage, name))
    }
    # What a hosted tool drew is charged once: by its tokens, if they are reported.
    if any(each.kind.startswith(_IMAGE_TOOL) for each in usage.passes):
        left.pop("image_calls", None)
    return Counts(**left)


def _charge(
    counts: Counts, rates: Rates, charges: list[_Charge], unpriced: list[str], *, tokens: bool
) -> None:
    if tokens:
        _charge_input(counts, rates, charges, unpriced)
        _charge_output(counts, rates, charges, unpriced)
    _charge_fees(counts, rates, charges, unpriced)


def _charge_input(
    counts: Counts, rates: Rates, charges: list[_Charge], unpriced: list[str]
) -> None:
    """Charge each input token once: cached tokens as such, the others by their kind."""
    rest = counts.input_tokens
    parts: list[_Charge] = []
    read, write_5m, write_1h = (
        counts.cache_read_tokens,
        counts.cache_write_5m_tokens,
        counts.cache_write_1h_tokens,
    )
    if read or write_5m or write_1h:
        rest = max(0, rest - read - write_5m - write_1h)
        if counts.cache_read_audio_tokens or counts.cache_read_image_tokens:
            read = _charge_media_read(counts, rates, read, parts, unpriced)
        parts += (
            ("cache_read", read, rates.cache_read),
            ("cache_write_5m", write_5m, rates.cache_write_5m),
            ("cache_write_1h", write_1h, rates.cache_write_1h),
        )
    if audio := counts.input_audio_tokens:
        if rates.input_audio is None:
            unpriced.append("input_audio")
        else:
            audio = min(max(0, audio - counts.cache_read_audio_tokens), rest)
            parts.append(("input_audio", audio, rates.input_audio))
            rest -= audio
    # Most providers price pictures and films as text, so a missing rate is no fault.
    if (image := counts.input_image_tokens) and rates.input_image is not None:
        image = min(max(0, image - counts.cache_read_image_tokens), rest)
        parts.append(("input_image", image, rates.input_image))
        rest -= image
    if (video := counts.input_video_tokens) and rates.input_video is not None:
        video = min(video, rest)
        parts.append(("input_video", video, rates.input_video))
        rest -= video
    charges.append(("input", rest, rates.input))
    charges += parts


def _charge_media_read(
    counts: Counts, rates: Rates, read: int, parts: list[_Charge], unpriced: list[str]
) -> int:
    """Charge cached sound and pictures; return the remaining cached tokens."""
    media = (
        (
            "cache_read_audio",
            counts.cache_read_audio_tokens,
            rates.cache_read_audio,
            rates.input_audio,
        ),
        (
            "cache_read_image",
            counts.cache_read_image_tokens,
            rates.cache_read_image,
            rates.input_image,
        ),
    )
    for kind, told, rate, uncached in media:
        if not told:
            continue
        if rate is not None:
            units = min(told, read)
            parts.append((kind, units, rate))
            read -= units
        elif uncached is not None:
            unpriced.append(kind)
    return read


def _charge_output(
    counts: Counts, rates: Rates, charges: list[_Charge], unpriced: list[str]
) -> None:
    """Charge each output token once; reasoning without a rate of its own costs what output does."""
    rest = counts.output_tokens
    at = len(charges)
    if counts.output_audio_tokens or counts.output_image_tokens or counts.output_video_tokens:
        for kind, told, rate in (
            ("output_audio", counts.output_audio_tokens, rates.output_audio),
            ("output_image", counts.output_image_tokens, rates.output_image),
            ("output_video", counts.output_video_tokens, rates.output_video),
        ):
            if not told:
                continue
            if rate is None:
                unpriced.append(kind)
            else:
                units = min(told, rest)
                charges.append((kind, units, rate))
                rest -= units
    if counts.reasoning_tokens and rates.reasoning is not None:
        reasoning = min(counts.reasoning_tokens, rest)
        charges.append(("reasoning", reasoning, rates.reasoning))
        rest -= reasoning
    charges.insert(at, ("output", rest, rates.output))


def _charge_fees(counts: Counts, rates: Rates, charges: list[_Charge], unpriced: list[str]) -> None:
    """Charge what is reported besides tokens."""
    if counts.searches or rates.least_searches:
        searches = max(counts.searches, rates.least_searches)
        if rates.most_searches:
            searches = min(searches, rates.most_searches)
        _charge_fee("search", searches, rates.search, charges, unpriced)
    if counts.audio_seconds:
        seconds = max(counts.audio_seconds, rates.least_audio_seconds)
        if rates.audio_second is not None:
            charges.append(("audio_second", seconds, rates.audio_second))
    if rates.character and counts.characters:
        charges.append(("character", counts.characters, rates.character))
    if (
        counts.citation_tokens
        or counts.map_searches
        or counts.sources
        or counts.file_searches
        or counts.code_containers
        or counts.image_calls
        or counts.pages
    ):
        for kind, units, rate in (
            ("citation", counts.citation_tokens, rates.citation),
            ("map_search", counts.map_searches, rates.map_search),
            ("source", counts.sources, rates.source),
            ("file_search", counts.file_searches, rates.file_search),
            ("code_container", counts.code_containers, rates.code_container),
            ("image", counts.image_calls, rates.image_call),
            ("page", counts.pages, rates.page),
        ):
            if units:
                _charge_fee(kind, units, rate, charges, unpriced)


def _charge_fee(
    kind: str, units: int, rate: int | None, charges: list[_Charge], unpriced: list[str]
) -> None:
    if rate is None:
        unpriced.append(kind)
    else:
        charges.append((kind, units, rate))
