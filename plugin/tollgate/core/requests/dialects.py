"""Describe the APIs that clients speak: where a request keeps what.

core/requests/endpoints.py maps paths to these APIs.

Request bodies follow each provider's API reference, linked at its entry.
core/answers/error_shapes.py says how each family writes errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

from tollgate.core.callers import customer_ids as customers
from tollgate.core.limits.accounts import MAX_EXACT
from tollgate.core.requests.json_members import Names


class Family(StrEnum):
    """The vendor whose wire format a client speaks; it decides the shape of errors.

    Names of APIs in providers.yaml begin with the family.
    """

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    VERTEX = "vertex"
    BEDROCK = "bedrock"
    COHERE = "cohere"
    OLLAMA = "ollama"


# Cached because looking up an enum member by value is ten times slower.
@lru_cache(maxsize=64)
def family_of_api(api: str) -> Family:
    """Return the family of an API, which is the first part of its name."""
    return Family(api.partition(".")[0])


Place = str
"""The place of a value in a body: a member's name, or `outer.inner` for a nested one."""
INCLUDE_USAGE: Place = "stream_options.include_usage"
"""The place where an OpenAI client asks for the usage of a stream."""


SERVICE_TIERS = ("service_tier", "serviceTier")
"""Members that ask for a service tier: OpenAI's, Gemini's and others', and Bedrock's Converse.

https://platform.openai.com/docs/api-reference/chat/create,
https://ai.google.dev/gemini-api/docs/flex-inference,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a body keeps what admission reads.

    - `prompt`: members whose text is the prompt; empty means the whole body.
    - `output_limits`: of several, the greatest counts.
    - `choices`: factors that multiply the output.
    - `streams`: whether a reply streams when the body does not say.
    - `least_limit`: the lowest valid output limit; a negative one means "unlimited" on servers that
      document it so.
    - `deferred`: a member that postpones the answer to another call.
    - `measured`: what the price of a call may depend on besides tokens.
    - `names`: every name that is read. `values`: names at the top level, which are their places.
      `inner`: for each nested object its name, the names read from it, and the place of each.
    """

    prompt: tuple[str, ...] = ()
    output_limits: tuple[Place, ...] = ()
    choices: tuple[Place, ...] = ()
    customer: tuple[Place, ...] = ()
    streams: bool = False
    least_limit: int = 0
    deferred: tuple[Place, ...] = ()
    measured: tuple[Place, ...] = ()
    names: Names = field(init=False)
    values: tuple[tuple[str, Place], ...] = field(init=False)
    inner: tuple[tuple[str, Names, tuple[tuple[str, Place], ...]], ...] = field(init=False)

    def __post_init__(self) -> None:
        read = (
            "model",
            "stream",
            INCLUDE_USAGE,
            *self.output_limits,
            *self.choices,
            *self.customer,
            *self.deferred,
            *self.measured,
        )
        inner: dict[str, dict[str, Place]] = {}
        for place in read:
            parent, dot, name = place.partition(".")
            if dot:
                inner.setdefault(parent, {})[name] = place
        found = tuple(
            (parent, Names(places, parent), tuple(places.items()))
            for parent, places in inner.items()
        )
        object.__setattr__(
            self,
            "names",
            Names((*self.prompt, *SERVICE_TIERS, *(place.partition(".")[0] for place in read))),
        )
        object.__setattr__(
            self, "values", tuple({place: place for place in read if "." not in place}.items())
        )
        object.__setattr__(self, "inner", found)


class Measure(StrEnum):
    """What a request may be priced by, besides tokens."""

    NOTHING = ""
    CHARACTERS = "characters"  # characters of text to speak
    SOUND = "sound"  # seconds of an uploaded file
    PICTURES = "pictures"  # pictures to draw


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API. `api` is its name in providers.yaml.

    - `asks_for_usage`: a stream reports its usage only when asked to.
    - `has_output`: a call costs output tokens too.
    - `free`: a call costs nothing and counts only as a request.
    - `form`: the body may be multipart/form-data.
    - `always_streams`: the path implies a stream, whatever the body says.
    - `family`: the error format that its clients read.
    - `measures`: what a request may be priced by besides tokens.
    - `default_model`: the provider's default, if neither path nor body names a model.
    """

    api: str
    places: Places
    asks_for_usage: bool = False
    has_output: bool = True
    free: bool = False
    form: bool = False
    always_streams: bool = False
    measures: Measure = Measure.NOTHING
    default_model: str | None = None
    family: Family = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", family_of_api(self.api))


# https://platform.openai.com/docs/api-reference
OPENAI = Places(
    prompt=(
        "messages",
        "prompt",
        "input",
        "system",
        "instructions",
        "tools",
        "functions",
        "response_format",
        "text",
    ),
    # llama.cpp's server also takes its own n_predict, which wins:
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    output_limits=("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict"),
    choices=("n", "best_of"),
    customer=customers.PLACES,
    least_limit=-1,
    # https://docs.x.ai/docs/guides/deferred-chat-completions
    deferred=("deferred",),
)
# https://platform.openai.com/docs/guides/background
_RESPONSES = replace(OPENAI, deferred=("background",))
# https://docs.mistral.ai/capabilities/code_generation
_FIM = replace(OPENAI, prompt=("prompt", "suffix"))
# https://platform.openai.com/docs/api-reference/images/create; `width`, `height` and `steps` at
# https://docs.together.ai/reference/post-images-generations, `resolution` at
# https://docs.x.ai/docs/guides/image-generations
_IMAGES = replace(OPENAI, measured=("size", "quality", "resolution", "width", "height", "steps"))
# https://docs.mistral.ai/api/endpoint/ocr
_OCR = replace(OPENAI, prompt=("document", "document_annotation_format"))
# https://docs.anthropic.com/en/api/complete
_COMPLETE = Places(
    prompt=("prompt",), output_limits=("max_tokens_to_sample",), customer=customers.PLACES
)
# https://docs.anthropic.com/en/api/messages
_ANTHROPIC = Places(
    prompt=("messages", "system", "tools", "output_config", "output_format"),
    output_limits=("max_tokens",),
    customer=customers.PLACES,
)
# https://ai.google.dev/api/generate-content; proto3 JSON takes both spellings of every name
_GEMINI = Places(
    prompt=(
        "contents",
        "content",
        "requests",
        "systemInstruction",
        "system_instruction",
        "tools",
        "generationConfig",
        "generation_config",
    ),
    output_limits=tuple(
        f"{config}.{limit}"
        for config in ("generationConfig", "generation_config")
        for limit in ("maxOutputTokens", "max_output_tokens")
    ),
    choices=tuple(
        f"{config}.{count}"
        for config in ("generationConfig", "generation_config")
        for count in ("candidateCount", "candidate_count")
    ),
)
# https://ai.google.dev/api/interactions-api
_INTERACTIONS = Places(
    prompt=("input", "system_instruction", "tools", "response_format"),
    output_limits=("generation_config.max_output_tokens",),
    deferred=("background",),
)
# https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
# and https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api
_PREDICT = Places(
    prompt=("instances",),
    choices=("parameters.sampleCount",),
    measured=("parameters.sampleCount",),
)
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
_CONVERSE = Places(
    prompt=("messages", "system", "toolConfig"), output_limits=("inferenceConfig.maxTokens",)
)
# https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html: each model defines its
# own body.
_INVOKE = Places(
    output_limits=(
        "max_tokens",
        "max_completion_tokens",
        "max_gen_len",
        "maxTokens",
        "max_tokens_to_sample",
        "textGenerationConfig.maxTokenCount",
        "inferenceConfig.maxTokens",
        "inferenceConfig.max_new_tokens",
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-image.html and
    # model-parameters-diffusion-1-0-text-image.html: models that draw
    choices=("n", "num_generations", "imageGenerationConfig.numberOfImages", "samples"),
    customer=customers.PLACES,
    measured=(
        "taskType",
        "imageGenerationConfig.quality",
        "imageGenerationConfig.width",
        "imageGenerationConfig.height",
        "text_prompts",
        "width",
        "height",
        "steps",
    ),
)
# https://docs.cohere.com/reference/chat
_COHERE = Places(
    prompt=(
        "messages",
        "message",
        "chat_history",
        "documents",
        "tools",
        "response_format",
        "texts",
        "inputs",
        "query",
    ),
    output_limits=("max_tokens",),
)
# https://docs.cohere.com/v1/reference/generate
_GENERATE = Places(prompt=("prompt",), output_limits=("max_tokens",), choices=("num_generations",))
# https://github.com/ollama/ollama/blob/main/docs/api.md
_OLLAMA = Places(
    prompt=("messages", "prompt", "system", "input", "suffix", "tools", "format"),
    output_limits=("options.num_predict",),
    streams=True,
    least_limit=-MAX_EXACT,
)
_OLLAMA_EMBED = Places(prompt=("input", "prompt"))

OPENAI_CHAT = Dialect("openai.chat", OPENAI, asks_for_usage=True)
OPENAI_COMPLETIONS = Dialect("openai.completions", OPENAI, asks_for_usage=True)
OPENAI_EMBEDDINGS = Dialect("openai.embeddings", OPENAI, has_output=False)
OPENAI_FIM = Dialect("openai.chat", _FIM)
OPENAI_RESPONSES = Dialect("openai.responses", _RESPONSES)
OPENAI_COUNT_TOKENS = Dialect("openai.count_tokens", OPENAI, has_output=False, free=True)
OPENAI_IMAGES = Dialect("openai.images", _IMAGES, form=True, measures=Measure.PICTURES)
OPENAI_TRANSCRIPTION = Dialect("openai.transcription", OPENAI, form=True, measures=Measure.SOUND)
OPENAI_SPEECH = Dialect("openai.speech", OPENAI, measures=Measure.CHARACTERS)
OPENAI_OCR = Dialect("openai.ocr", _OCR, has_output=False)
OPENAI_MODERATION = Dialect(
    "openai.moderation", OPENAI, has_output=False, free=True, default_model="omni-moderation-latest"
)
OPENAI_OTHER = Dialect("openai.other", _RESPONSES)
"""The dialect of an unknown path that `unknown_paths` lets through."""
ANTHROPIC_MESSAGES = Dialect("anthropic.messages", _ANTHROPIC)
ANTHROPIC_MESSAGES_STREAM = Dialect("anthropic.messages", _ANTHROPIC, always_streams=True)
ANTHROPIC_COMPLETE = Dialect("anthropic.complete", _COMPLETE)
ANTHROPIC_COUNT_TOKENS = Dialect("anthropic.count_tokens", _ANTHROPIC, has_output=False, free=True)
GEMINI_GENERATE = Dialect("gemini.generate", _GEMINI)
GEMINI_STREAM = Dialect("gemini.generate", _GEMINI, always_streams=True)
GEMINI_EMBED = Dialect("gemini.embed", _GEMINI, has_output=False)
GEMINI_COUNT_TOKENS = Dialect("gemini.count_tokens", _GEMINI, has_output=False, free=True)
GEMINI_INTERACTIONS = Dialect("gemini.interactions", _INTERACTIONS)
# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/mistral
VERTEX_CHAT = Dialect("openai.chat", OPENAI)
VERTEX_CHAT_STREAM = Dialect("openai.chat", OPENAI, always_streams=True)
VERTEX_PREDICT = Dialect("vertex.predict", _PREDICT, has_output=False, measures=Measure.PICTURES)
BEDROCK_CONVERSE = Dialect("bedrock.converse", _CONVERSE)
BEDROCK_CONVERSE_STREAM = Dialect("bedrock.converse_stream", _CONVERSE, always_streams=True)
BEDROCK_INVOKE = Dialect("bedrock.invoke", _INVOKE, measures=Measure.PICTURES)
BEDROCK_INVOKE_STREAM = Dialect("bedrock.invoke_stream", _INVOKE, always_streams=True)
BEDROCK_COUNT_TOKENS = Dialect("bedrock.count_tokens", Places(), has_output=False, free=True)
COHERE_CHAT = Dialect("cohere.chat", _COHERE)
COHERE_INPUT = Dialect("cohere.chat", _COHERE, has_output=False)
COHERE_GENERATE = Dialect("cohere.chat", _GENERATE)
COHERE_RERANK = Dialect("cohere.rerank", _COHERE, has_output=False)
OLLAMA_GENERATE = Dialect("ollama", _OLLAMA)
OLLAMA_EMBED = Dialect("ollama", _OLLAMA_EMBED, has_output=False)

FAMILY_PATHS = (
    (Family.ANTHROPIC, r"/v1/(?:messages|complete/*(?:[?]|$))"),
    (
        Family.GEMINI,
        r"/v1(?:(?:beta1?|alpha)?/(?:models|projects|publishers)/[^?]*:|(?:beta|alpha)/(?:models|interactions)(?:[/?]|$))",
    ),
    (Family.BEDROCK, r"/model/"),
    (Family.COHERE, r"/v[12]/(?:chat|embed|rerank|generate)/*(?:[?]|$)"),
    (Family.OLLAMA, r"/api/(?:chat|generate|embed|embeddings|tags)/*(?:[?]|$)"),
)
"""Prefixes of paths that are not OpenAI's, as expressions that Python and RE2 read alike.

Envoy's local replies use them as well, to word its own errors.
"""

_FAMILIES = re.compile("|".join(f"(?P<{family.value}>{path})" for family, path in FAMILY_PATHS))


def family_of_path(path: str) -> Family:
    """Return the error format that a client of this path reads, whether or not the
    path is known.
    """
    match = _FAMILIES.match(path)
    if match is None or match.lastgroup is None:
        return Family.OPENAI
    return Family(match.lastgroup)
