"""How many files our programs may have open: a connection is one, and shells often allow 1,024."""

from __future__ import annotations

import resource

_WANTED = 16_384


def raise_file_limit() -> None:
    """Raise the limit as far as we may; what we start inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
