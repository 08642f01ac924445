"""Parse model names, as configurations and providers write them, into the vendor's own name."""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
_PROFILE = re.compile(r"(us-gov|us|eu|apac|au|jp|ca|sa|global)\.(?=[a-z0-9-]+\.)")
# The vendor part of a Bedrock name. Other vendors' names may contain dots as well.
_VENDOR = re.compile(
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshotai?|nvidia|openai|qwen|"
    r"stability|twelvelabs|writer|zai)\."
)
# arn:aws:bedrock:REGION:ACCOUNT:inference-profile/ID, and likewise for foundation models:
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html
_ARN = re.compile(r"arn:[a-z-]+:bedrock:[a-z0-9-]*:[0-9]*:[a-z-]+/")
# https://openrouter.ai/docs/guides/routing/model-variants
_VARIANT = re.compile(r":(free|nitro|online|floor|exacto|extended|thinking|beta)$")
_BEDROCK_VERSION = re.compile(r"-v\d+(?::\d+)?(?::\d+k)?$|:\d+$")
# Azure's regions and data zones as LiteLLM writes them: azure/eu/gpt-4o, azure/us/gpt-4o,
# azure/global/gpt-4o.
_ZONES = frozenset({"eu", "us", "global", "global-standard"})


class ModelName(Struct, frozen=True):
    """A model's name in parts.

    - `bare`: the vendor's own name, in lower case, with its date.
    - `zone`: the region or zone that the name requests (`us`, `eu`, `global`, ...), or empty.
    - `variant`: OpenRouter's variant (`free`, `online`, ...).
    - `tuned`: the model was fine-tuned from `bare`.
    """

    bare: str
    zone: str = ""
    variant: str = ""
    tuned: bool = False


@lru_cache(maxsize=4096)
def parse_model_name(name: str) -> ModelName:
    """Split a name into parts; any name yields a bare name."""
    rest, zone, variant, tuned = name.lower(), "", "", False
    rest = _ARN.sub("", rest)
    if rest.startswith("ft:"):
        # https://platform.openai.com/docs/guides/fine-tuning: ft:BASE:ORGANIZATION:SUFFIX:ID
        rest, tuned = rest[3:].partition(":")[0], True
    *before, rest = rest.strip("/").split("/")
    zone = next((each.removesuffix("-standard") for each in before if each in _ZONES), "")
    if match := _VARIANT.search(rest):
        rest, variant = rest[: match.start()], match[1]
    if match := _PROFILE.match(rest):
        rest, zone = rest[match.end() :], match[1]
    if match := _VENDOR.match(rest):
        rest = _BEDROCK_VERSION.sub("", rest[match.end() :])
    return ModelName(rest, zone, variant, tuned)


# A date or number by which a vendor marks a version of a model.
_VERSION = re.compile(
    r"(?:[-@](?:20\d{6}|20\d\d-\d\d-\d\d|latest|default)|-v\d+(?::\d+)?|-00[1-9]|-(?:preview-)?\d\d-20\d\d|-\d{4})$"
)


def undated(bare: str) -> str:
    """Return a bare name without its version suffix (a date, `-001`, `-latest`), if it has one."""
    return _VERSION.sub("", bare)
