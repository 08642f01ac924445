"""Estimate what a request may use before anything is counted.

The estimate of a prompt comes from its JSON (core/requests/prompt_size.py), scaled by a ratio that
each model's replies teach, with and without tools apart. It is a hint in one worker's memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from math import ceil
from typing import Any

from msgspec import Struct

from tollgate.core.calls.asked_pictures import AskedPictures
from tollgate.core.memo import Bounded
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.model_names import parse_model_name
from tollgate.core.models.output_limits import MOST_CHOICES
from tollgate.core.requests.body import Body

_LEAST_RATIO, _MOST_RATIO = 0.4, 2.5
_LEAST_WEIGHT = 0.05
_LEAST_TAUGHT_BY = 64  # shorter prompts consist mostly of the provider's own template
_MEAN_OF = 32  # replies: the mean follows a change in traffic within a few dozen calls
_MOST_DEPLOYMENTS = 4096
_LEARNED_BYTES = 512  # what is learned of one, with its name


class Estimate(Struct, frozen=True, gc=False):
    """What a request may use.

    - `guessed`: the request sets no output limit, so the output is a configured default.
    - `money`: the request may cost money.
    - `tools`: it defines tools.
    - `service_tier`: the one that it asks for, where that has prices of its own.
    - `characters`: text to speak. `audio_seconds`: uploaded sound. `pictures`: to draw. Each only
      where the model is priced by it.
    """

    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    guessed: bool
    money: bool
    tools: bool = False
    characters: int = 0
    audio_seconds: int = 0
    pictures: AskedPictures | None = None
    service_tier: str = ""


NOTHING = Estimate(0, 0, 0, guessed=False, money=False)


# Anthropic's own prompt for tools, in addition to their definitions:
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing
_OF_CLAUDES_TOOLS = 346


def hidden_tokens(deployment: Deployment) -> int:
    """Return the tokens that a provider adds to a prompt with tools and counts."""
    if not parse_model_name(deployment.known_as).bare.startswith("claude"):
        return 0
    return _OF_CLAUDES_TOOLS


# Sound whose format states no length counts as speech at 48 kbit/s. A header cannot claim a length
# that would make the file denser than 32-bit stereo at 48 kHz. A body without a file names one that
# is stored elsewhere.
_BYTES_A_SECOND, _MOST_BYTES_A_SECOND = 6_000, 384_000
_SECONDS_UNKNOWN = 60


def sound_seconds(told: float | None, size: int) -> int:
    """Return the seconds of sound, rounded up.

    Taken from the file's header (`told`), else from its size in bytes, else one minute.
    """
    if told is None:
        if size:
            return ceil(size / _BYTES_A_SECOND)
        return _SECONDS_UNKNOWN
    return ceil(max(told, size / _MOST_BYTES_A_SECOND))


_LONGEST_WORD = 40
_SAMPLE_COUNT = "parameters.sampleCount"
# What Imagen draws unasked, which is also the most:
# https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api
_SAMPLES_UNASKED = 4
# https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-image.html and
# https://docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html
_AMAZON_QUALITY, _AMAZON_SIDE = "standard", 1024
_DRAWS_TEXT = "TEXT_IMAGE"
# https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-diffusion-1-0-text-image.html
_STABLE_STEPS = 30
# https://platform.openai.com/docs/api-reference/images/create: of dall-e-2 and dall-e-3
_DALL_E = "dall-e"
_DALL_E_QUALITY, _DALL_E_SIZE = "standard", "1024x1024"


def asked_pictures(body: Body, deployment: Deployment) -> AskedPictures:
    """Return the pictures that a request asks for.

    What it leaves out is its API's documented default, else not known.
    """
    told = body.measured
    count = min(body.choices, MOST_CHOICES)
    if "taskType" in told:
        return _amazon(count, told)
    if deployment.provider in ("vertex_ai", "gemini"):
        return AskedPictures(count if _SAMPLE_COUNT in told else _SAMPLES_UNASKED)
    size = _word(told.get("size")) or _sides(told.get("width"), told.get("height"))
    quality, steps = _word(told.get("quality")), told.get("steps")
    if "text_prompts" in told and steps is None:
        steps = _STABLE_STEPS
    if parse_model_name(deployment.known_as).bare.startswith(_DALL_E):
        quality, size = quality or _DALL_E_QUALITY, size or _DALL_E_SIZE
    return AskedPictures(count, quality, size or _word(told.get("resolution")), _whole(steps) or 0)


def _amazon(count: int, told: Mapping[str, Any]) -> AskedPictures:
    config = "imageGenerationConfig"
    width, height = told.get(f"{config}.width"), told.get(f"{config}.height")
    if told["taskType"] == _DRAWS_TEXT or width is not None or height is not None:
        width = _AMAZON_SIDE if width is None else width
        height = _AMAZON_SIDE if height is None else height
    quality = _word(told.get(f"{config}.quality")) or _AMAZON_QUALITY
    return AskedPictures(count, quality, _sides(width, height))


def _word(value: object) -> str:
    """Return a text as prices name it; empty where it leaves the choice to the provider."""
    if not isinstance(value, str):
        return ""
    word = value.strip().lower()[:_LONGEST_WORD]
    return "" if word == "auto" else word


def _sides(width: object, height: object) -> str:
    across, down = _whole(width), _whole(height)
    return "" if across is None or down is None else f"{across}x{down}"


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 100_000 else None


class _Ratio(Struct, gc=False):
    """Counted tokens for each estimated one, and how many replies taught it."""

    ratio: float = 1.0
    times: int = 0


class InputEstimates:
    """Estimates of prompts by deployment, with and without tools; at most 8,192 are kept."""

    def __init__(self) -> None:
        self._ratios: Bounded[tuple[str, bool], _Ratio] = Bounded(
            2 * _MOST_DEPLOYMENTS * _LEARNED_BYTES
        )

    def tokens(self, deployment: str, prompt_tokens: int, *, tools: bool = False) -> int:
        """Return the expected count of a prompt that looks like `prompt_tokens`, at least 1."""
        known = self._ratios.get((deployment, tools))
        return max(1, prompt_tokens if known is None else round(prompt_tokens * known.ratio))

    def learn(self, deployment: str, estimated: int, counted: int, *, tools: bool = False) -> None:
        """Move the next estimate towards what the provider counted; early replies weigh most."""
        if estimated < _LEAST_TAUGHT_BY or counted < 1:
            return
        shape = (deployment, tools)
        known = self._ratios.get(shape)
        if known is None:
            known = _Ratio()
            self._ratios.put(shape, known, _LEARNED_BYTES)
        known.times += 1
        weight = max(_LEAST_WEIGHT, 1 / known.times)
        ratio = known.ratio * (1 + weight * (counted / estimated - 1))
        known.ratio = min(_MOST_RATIO, max(_LEAST_RATIO, ratio))


class _Mean(Struct, gc=False):
    """The mean of recent replies, and by how many it is divided."""

    output_tokens: float = 0.0
    hidden_tokens: float = 0.0
    count: int = 0


class OutputMeans:
    """Mean output of each deployment's recent replies, and the part that they did not show.

    The means stand in for output that nobody could see. The first 32 replies weigh alike; later
    ones weigh 1/32, so old replies fade. At most 4,096 deployments are kept; the one that
    learned longest ago is dropped first.
    """

    def __init__(self) -> None:
        self._means: Bounded[str, _Mean] = Bounded(_MOST_DEPLOYMENTS * _LEARNED_BYTES)

    def lately(self, deployment: str) -> Lately | None:
        """Return the recent means of a deployment; None before its first reply."""
        known = self._means.get(deployment)
        if known is None:
            return None
        return Lately(round(known.output_tokens), round(known.hidden_tokens))

    def learn(self, deployment: str, output_tokens: int, hidden_tokens: int) -> None:
        """Add the output of one reply, as the provider counted it."""
        mean = self._means.get(deployment)
        if mean is None:
            mean = _Mean()
            self._means.put(deployment, mean, _LEARNED_BYTES)
        else:
            self._means.touch(deployment)
        if mean.count < _MEAN_OF:
            mean.count += 1
        mean.output_tokens += (output_tokens - mean.output_tokens) / mean.count
        mean.hidden_tokens += (hidden_tokens - mean.hidden_tokens) / mean.count


class Lately(Struct, frozen=True, array_like=True, gc=False):
    """Recent output of a deployment's replies: the mean in total, and of the hidden part, in
    tokens.
    """

    output_tokens: int
    hidden_tokens: int


class Lacks(Enum):
    """Which part of a reply's output is unknown."""

    NOTHING = auto()
    HIDDEN = auto()
    """The visible part was read as far as it came; whether reasoning was billed was not reported.
    """
    OUTPUT = auto()
    """All of the output, or nearly all."""
    LENGTH = auto()
    """Everything but the reply's length, which bounds what it can have shown."""


def unseen_output(
    lacks: Lacks,
    seen_tokens: int,
    most_tokens: int,
    lately: Lately | None,
    default_tokens: int,
    most_shown_tokens: int = 0,
) -> int:
    """Return the output tokens to charge for a reply that nobody saw to its end.

    `most_shown_tokens` bounds what a reply of that length can have shown; `most_tokens` is what the
    call held; `default_tokens` applies before anything was learned. The result is never below what
    was seen.
    """
    if lacks is Lacks.HIDDEN:
        likely = seen_tokens + (lately.hidden_tokens if lately is not None else 0)
    elif lacks is Lacks.LENGTH:
        hidden = lately.hidden_tokens if lately is not None else 0
        shown = lately.output_tokens - hidden if lately is not None else default_tokens
        likely = min(shown, most_shown_tokens) + hidden
    else:
        likely = lately.output_tokens if lately is not None else default_tokens
    return max(seen_tokens, min(likely, most_tokens))
