"""When to send a report, and under which sequence number.

Only the newest report matters, because each is whole: an unacknowledged one is repeated, or replaced by a newer one.
Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_REMEMBERED = 64


@dataclass(frozen=True)
class ReportTiming:
    """Seconds between reports: at least, when unacknowledged, when only figures changed, when nothing changed."""

    # One game that has ever more to tell must not have the whole host reported without end.
    gap_s: float = 0.1
    resend_s: float = 3.0
    figures_s: float = 5.0
    refresh_s: float = 10.0


@dataclass
class ReportSchedule:
    """State of one agent start; sequence numbers grow over all its links."""

    timing: ReportTiming = ReportTiming()
    sequence: int = 0
    acknowledged: int = 0
    # The shortest lease of any workload, seconds: acknowledged reports are what renews leases.
    lease_s: float = float("inf")
    _urgent: bool = True
    _figures: bool = False
    _sent_at: float = float("-inf")
    _first_sent: dict[int, float] = field(default_factory=dict)

    def changed(self, urgent: bool) -> None:
        """Something to report has changed; without `urgent` only live figures have."""
        self._urgent |= urgent
        self._figures = True

    def linked(self) -> None:
        """A new link is up: whatever was sent on the old one may be lost."""
        self._urgent = True

    @property
    def urgent(self) -> bool:
        """Whether something has changed that nobody knows yet, but for figures."""
        return self._urgent

    def due_at(self) -> float:
        """When the next report is to be sent."""
        if self._urgent:
            return self._sent_at + self.timing.gap_s
        waits = [self.timing.refresh_s, self.lease_s / 4]
        if self._figures:
            waits.append(self.timing.figures_s)
        if self.acknowledged < self.sequence:
            waits.append(self.timing.resend_s)
        return self._sent_at + min(waits)

    def take(self, now: float) -> int:
        """The sequence number of the report sent at `now`: the old one when it repeats an unacknowledged report."""
        if self._urgent or self._figures or self.acknowledged == self.sequence:
            self.sequence += 1
            self._first_sent[self.sequence] = now
            if len(self._first_sent) > _REMEMBERED:
                del self._first_sent[min(self._first_sent)]
        self._urgent = self._figures = False
        self._sent_at = now
        return self.sequence

    def acknowledge(self, sequence: int) -> float | None:
        """Notes an acknowledgement; returns when that report was first sent: no earlier was this host heard with it."""
        if sequence > self.sequence:
            return None
        self.acknowledged = max(self.acknowledged, sequence)
        proven_at = self._first_sent.get(sequence)
        for old in [known for known in self._first_sent if known <= sequence]:
            del self._first_sent[old]
        return proven_at
