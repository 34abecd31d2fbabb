"""Pace: how often one person may ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass
class Pace:
    """A bucket of `burst` commands for each person with each bot, refilled by one every `refill`.

    It lives in one process, because one bot account is one process. A restart fills every bucket.
    """

    burst: int = 20
    refill: timedelta = timedelta(seconds=2)
    _buckets: dict[str, tuple[float, datetime]] = field(default_factory=dict, repr=False)

    def wait(self, person: str, now: datetime) -> timedelta | None:
        """Take one from the person's bucket; return how long they must wait when it is empty."""
        left, at = self._buckets.get(person, (float(self.burst), now))
        left = min(self.burst, left + max(0.0, (now - at) / self.refill))
        if left < 1:
            self._buckets[person] = (left, now)
            return self.refill * (1 - left)
        self._buckets[person] = (left - 1, now)
        if len(self._buckets) > 10_000:
            self._forget_full(now)
        return None

    def _forget_full(self, now: datetime) -> None:
        full = self.burst * self.refill
        self._buckets = {who: bucket for who, bucket in self._buckets.items() if now - bucket[1] < full}
