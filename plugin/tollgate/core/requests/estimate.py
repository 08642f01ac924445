"""How much a request may use, before anyone has counted it: what its JSON looks like
(core/requests/prompt_size.py), and a ratio that each model's own replies teach, apart for requests with
tools.

It is a hint in one worker's memory.
"""

from __future__ import annotations

from enum import Enum, auto
from math import ceil

from msgspec import Struct

from tollgate.core.models.deployment import Deployment
from tollgate.core.models.model_names import parse_model_name

_LEAST_RATIO, _MOST_RATIO = 0.4, 2.5
_LEAST_WEIGHT = 0.05
_LEAST_TAUGHT_BY = 64  # of short prompts, the provider's own template is the greater part
_MEAN_OF = 32  # replies: the mean follows a change of the traffic within some dozens of calls
_MOST_DEPLOYMENTS = 4096


class Estimate(Struct, frozen=True, gc=False):
    """What a request may use.

    `guessed`: it names no output limit, so the output is a configured default.

    `money`: whether that costs anything. `tools`: it defines some. `characters`: of text to speak,
    `audio_seconds`: of uploaded sound, where the model is priced by them.
    """

    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    guessed: bool
    money: bool
    tools: bool = False
    characters: int = 0
    audio_seconds: int = 0


NOTHING = Estimate(0, 0, 0, guessed=False, money=False)


# Anthropic's own prompt for tools, beside their definitions:
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing
_OF_CLAUDES_TOOLS = 346


def hidden_tokens(deployment: Deployment) -> int:
    """Return what a provider adds to a prompt with tools, and counts."""
    return (
        _OF_CLAUDES_TOOLS if parse_model_name(deployment.known_as).bare.startswith("claude") else 0
    )


# Sound whose format tells no length is taken for speech at 48 kbit/s; and no header is believed
# that would make it denser than 32-bit stereo at 48 kHz. A body without a file names one that is
# elsewhere.
_BYTES_A_SECOND, _MOST_BYTES_A_SECOND = 6_000, 384_000
_SECONDS_UNKNOWN = 60


def sound_seconds(told: float | None, size: int) -> int:
    """Return the seconds of sound, rounded up: `told` by a file's header, else by its size in
    bytes, else a minute.
    """
    if told is None:
        return ceil(size / _BYTES_A_SECOND) if size else _SECONDS_UNKNOWN
    return ceil(max(told, size / _MOST_BYTES_A_SECOND))


class InputEstimates:
    """Estimates of prompts by deployment, with tools and without. At most 8,192 are kept."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, bool], tuple[float, int]] = {}

    def tokens(self, deployment: str, prompt_tokens: int, *, tools: bool = False) -> int:
        """Return what a prompt that looks like so many tokens may count, at least 1."""
        known = self._ratios.get((deployment, tools))
        return max(1, prompt_tokens if known is None else round(prompt_tokens * known[0]))

    def learn(self, deployment: str, estimated: int, counted: int, *, tools: bool = False) -> None:
        """Bring the next estimate nearer to what the provider counted.

        The first ones weigh most.
        """
        if estimated < _LEAST_TAUGHT_BY or counted < 1:
            return
        shape = (deployment, tools)
        ratio, times = self._ratios.get(shape, (1.0, 0))
        if not times and len(self._ratios) >= 2 * _MOST_DEPLOYMENTS:
            del self._ratios[next(iter(self._ratios))]
        weight = max(_LEAST_WEIGHT, 1 / (times + 1))
        ratio += weight * ratio * (counted / estimated - 1)
        self._ratios[shape] = (min(_MOST_RATIO, max(_LEAST_RATIO, ratio)), times + 1)


class OutputMeans:
    """The output that deployments had lately, and what their replies did not show of it: means.

    They stand in for output that nobody could see.

    The first replies weigh alike; later ones a 32nd each, so that old ones fade.
    At most 4,096 deployments are kept: the one that was learned first is forgotten first.
    """

    def __init__(self) -> None:
        self._means: dict[str, tuple[float, float, int]] = {}

    def lately(self, deployment: str) -> Lately | None:
        """Return what a deployment's replies had; None before its first."""
        known = self._means.get(deployment)
        return None if known is None else Lately(round(known[0]), round(known[1]))

    def learn(self, deployment: str, output_tokens: int, hidden_tokens: int) -> None:
        """Take in the output of one reply, as the provider counted it."""
        output, hidden, count = self._means.get(deployment, (0.0, 0.0, 0))
        if not count and len(self._means) >= _MOST_DEPLOYMENTS:
            del self._means[next(iter(self._means))]
        if count < _MEAN_OF:
            count += 1
        output += (output_tokens - output) / count
        hidden += (hidden_tokens - hidden) / count
        self._means[deployment] = (output, hidden, count)


class Lately(Struct, frozen=True, array_like=True, gc=False):
    """The output that a deployment's replies had lately, in tokens.

    The mean of all of it, and of what they did not show.
    """

    output_tokens: int
    hidden_tokens: int


class Lacks(Enum):
    """What is not known of a reply's output."""

    NOTHING = auto()
    HIDDEN = auto()
    """Its visible part was read as far as it came.

    Whether more was billed was not told: reasoning.
    """
    OUTPUT = auto()
    """All of it, or nearly all."""
    LENGTH = auto()
    """All of it but the length of the reply, which bounds what it can have shown."""


def unseen_output(
    lacks: Lacks,
    seen_tokens: int,
    most_tokens: int,
    lately: Lately | None,
    default_tokens: int,
    most_shown_tokens: int = 0,
) -> int:
    """Return what to charge as the output of a reply that nobody saw to its end.

    `most_shown_tokens`: what a reply of that length can have shown.

    `most_tokens` is what the call held; `default_tokens` is assumed where nothing was learned yet.
    What was seen is charged at least.
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
