"""Deployments that failed too often, and get no calls for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

_MINUTE_US = 60_000_000
# An account that is locked or out of quota, a provider that is slow or broken. Other statuses are
# about the request.
_FAILURES = frozenset({401, 403, 408, 429})


class Cooling:
    """What one process knows of its deployments' failures.

    A deployment cools down for `cooldown_us` after more than `allowed_fails` failures within a
    minute. Times are microseconds since the epoch.
    """

    def __init__(self, allowed_fails: int, cooldown_us: int) -> None:
        self._allowed_fails = allowed_fails
        self.cooldown_us = cooldown_us
        self._failed: dict[str, deque[int]] = {}
        self._until: dict[str, int] = {}

    def note(self, deployment: str, status: int, now_us: int) -> int | None:
        """Note the status of a reply that ended just now; 0: there was none.

        Returns until when the deployment cools down, if it begins to.
        """
        if status < 500 and status not in _FAILURES:
            return None
        failed = self._failed.setdefault(deployment, deque(maxlen=self._allowed_fails + 1))
        failed.append(now_us)
        if len(failed) > self._allowed_fails and now_us - failed[0] < _MINUTE_US:
            self._until[deployment] = now_us + self.cooldown_us
            del self._failed[deployment]
            return self._until[deployment]
        return None

    def take_over(self, until_us: Mapping[str, int]) -> None:
        """Take over what other processes know: by deployment, until when it cools down."""
        for deployment, theirs_us in until_us.items():
            self._until[deployment] = max(theirs_us, self._until.get(deployment, 0))

    def cools(self, deployment: str, now_us: int) -> bool:
        """Return whether a deployment gets no calls now."""
        until_us = self._until.get(deployment)
        if until_us is None:
            return False
        if now_us >= until_us:
            del self._until[deployment]
            return False
        return True
