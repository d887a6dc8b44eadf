"""The end of the line of a session whose own wrapper fails to end it: enforced from outside, by who is not stuck.

The wrapper ends a session in time by itself; these deadlines lie a margin behind its own. And one whose event loop is
stuck answers nobody: no limit ends it, no player gets in, so it is stopped too, politely first and then for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from quarterdeck.v1 import sessions_pb2, wrapper_pb2

Reason = sessions_pb2.SessionReason


@dataclass(frozen=True)
class Terms:
    """In seconds. `margin_s` is what the wrapper gets beyond its own deadlines; `start_margin_s` beyond the readiness
    time-out, for display, files and sound. Every `ask_s` the wrapper is asked something and has `answer_s` to answer:
    it counts as stuck after `questions` in a row without an answer."""

    margin_s: float = 15.0
    start_margin_s: float = 90.0
    ask_s: float = 10.0
    answer_s: float = 10.0
    questions: int = 9


@dataclass(frozen=True)
class Verdict:
    reason: sessions_pb2.SessionReason
    detail: str


def overdue(
    spec: wrapper_pb2.SessionSpec, last: wrapper_pb2.WorkloadStatus | None, age_s: float, terms: Terms
) -> Verdict | None:
    """Why a session whose wrapper has run for `age_s` should have ended before now; None: it should not."""
    if last is None or not last.HasField("first_frame_after"):
        ready = spec.deployment.readiness
        timeout_s = ready.timeout.ToNanoseconds() / 1e9 if ready.HasField("timeout") else 60.0
        if age_s < timeout_s + terms.start_margin_s:
            return None
        return Verdict(
            Reason.SESSION_REASON_START_FAILED, f"not playable after {age_s:.0f} s, and its wrapper let it be"
        )
    limits, played_s = spec.limits, age_s - last.first_frame_after.ToNanoseconds() / 1e9
    longest_s = limits.max_duration.ToNanoseconds() / 1e9
    if not longest_s or played_s < longest_s + terms.margin_s:
        return None
    return Verdict(Reason.SESSION_REASON_MAX_DURATION, f"played for {played_s:.0f} s, and its wrapper let it be")


class Patience:
    """Tells a stuck wrapper from a machine too busy, or an agent that was stopped meanwhile: a question counts only
    where the agent itself was on time, for whoever gets no processor cannot judge who else got one."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._unanswered = 0

    def asked(self, answered: bool, took_s: float) -> Verdict | None:
        """Takes in one question: `took_s` from the one before to the end of this one, by the agent's clock."""
        late = took_s > (self._terms.ask_s + self._terms.answer_s) * 1.25
        self._unanswered = 0 if answered or late else self._unanswered + 1
        if self._unanswered < self._terms.questions:
            return None
        silent_s = self._unanswered * (self._terms.ask_s + self._terms.answer_s)
        return Verdict(
            Reason.SESSION_REASON_WRAPPER_LOST, f"its wrapper is stuck: it answered nothing for {silent_s:.0f} s"
        )


async def watch(ask: Callable[[float], Awaitable[bool]], judge: Callable[[], Verdict | None], terms: Terms) -> Verdict:
    """Returns when the session must end. `ask` says whether the wrapper answered within so many seconds."""
    loop, patience = asyncio.get_running_loop(), Patience(terms)
    while True:
        began = loop.time()
        await asyncio.sleep(terms.ask_s)
        answered = await ask(terms.answer_s)
        verdict = judge() or patience.asked(answered, loop.time() - began)
        if verdict is not None:
            return verdict
