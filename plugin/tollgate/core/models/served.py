"""Tell from its name whether a reply came from the model that was asked for.

Providers answer with a dated name, or with the location of the model; neither is another model.
"""

from __future__ import annotations

import re

# Suffixes that providers add: a date in any format, a revision, a word for "newest". Anthropic's
# aliases have -0 where a name has no second number
# (https://docs.claude.com/en/docs/about-claude/models/overview).
_DATED = re.compile(
    r"(?:[-@:_.](?:latest|stable|default|preview|exp|v\d+(?::\d+)?"
    r"|20\d\d[-.]?\d\d[-.]?\d\d|(?:0[1-9]|1[0-2])-?[0-3]\d|\d\d-20\d\d|2\d(?:0[1-9]|1[0-2])|00\d|0))+$"
)
# Prefixes that Bedrock adds: a region and the vendor.
_PLACE = re.compile(
    r"^(?:(?:us|eu|ap|apac|global|us-gov|jp|au|ca|sa)\.)?(?:[a-z0-9-]+\.)?(?=[a-z])"
)


def is_other_model(wanted: str, told: str) -> bool:
    """Return whether a reply names a model other than its deployment's.

    Differences in date, revision or path do not count.
    """
    return told != wanted and _base(wanted) != _base(told)


def _base(name: str) -> str:
    last = name.strip().lower().rstrip("/").rpartition("/")[2]
    base = _DATED.sub("", last)
    # A name like gemini-2.5 has no vendor before its dot.
    head, dot, _ = base.partition(".")
    if dot and not any(map(str.isdigit, head)):
        return _PLACE.sub("", base)
    return base
