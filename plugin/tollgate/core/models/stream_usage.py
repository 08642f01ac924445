"""Whose streams are asked for their usage, and how.

OpenAI's streams tell usage only when `stream_options.include_usage` asks for it
(https://platform.openai.com/docs/api-reference/chat/create), and most who speak its format know
that field. The others tell usage all along, and may refuse a field that their reference does not
have.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

STREAM_OPTIONS = "stream_options"
"""The member that asks, as a deployment's `additional_drop_params` may name it."""

TELL_UNASKED = {
    # ChatCompletionRequest has no such field; the last event has `usage`.
    "mistral": "https://docs.mistral.ai/api/",
    "codestral": "https://docs.mistral.ai/api/",
    # Every event has `usage`, the last one all of it.
    "perplexity": "https://docs.perplexity.ai/docs/sonar/features",
    # The last event has `usage`.
    "ai21": "https://docs.ai21.com/reference/jamba-1-6-api-ref",
    "ai21_chat": "https://docs.ai21.com/reference/jamba-1-6-api-ref",
}
"""Providers in OpenAI's format whose reference has no `stream_options`, and where that is."""

# Their streams tell the counts so far with every event, if asked, so one that is cut is charged
# exactly: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html,
# `continuous_usage_stats`
_TELL_RUNNING_USAGE = frozenset({"hosted_vllm", "vllm"})


class StreamUsage(Struct, frozen=True):
    """How a deployment's streams are brought to tell their usage.

    `asked`: by `stream_options`; `running`: with every event. `dropped`: the deployment wants no
    `stream_options`, the client's neither.
    """

    asked: bool = True
    running: bool = False
    dropped: bool = False

    @classmethod
    def of(cls, provider: str, drop_params: Collection[str] = ()) -> StreamUsage:
        """What a deployment of a provider takes, whose configuration drops these parameters."""
        dropped = STREAM_OPTIONS in drop_params
        asked = not dropped and provider not in TELL_UNASKED
        return cls(asked, provider in _TELL_RUNNING_USAGE, dropped)


ASKED = StreamUsage()
"""As OpenAI's are."""
