"""What events tell in figures. Each event is counted by the relay that has published it: once in the whole house, so
that the replicas' sum is right. One that dies between publishing and marking may count a few twice."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from controlplane.domain.events import Event
from controlplane.domain.vm import STATIC, VmState
from controlplane.interfaces import Page, Store

WAIT_S = (0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
STAGE_S = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 120, 300)
PROVISIONING_S = (1, 2.5, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1200, 3600)
STAGES = ("allocated", "image_ready", "game_started", "first_frame", "playable")
QUEUE_ENDS = {"STARTING": "placed", "REJECTED": "rejected", "STOPPED": "cancelled"}
ON_THE_WAY = (str(VmState.PROVISIONING), str(VmState.BOOTING))
# Of a VM that an operator has declared broken.
REPORTED = "REPORTED"


class History:
    """One set for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter("quarterdeck_events", "Events published.", ("type",), registry=registry)
        self._ended = Counter("quarterdeck_sessions_ended", "Sessions, by how.", ("state", "reason"), registry=registry)
        self._waits = Histogram(
            "quarterdeck_session_queue_wait_seconds",
            "From the wish for a session to a place for it, or to the end of waiting.",
            ("outcome",),
            buckets=WAIT_S,
            registry=registry,
        )
        self._stages = Histogram(
            "quarterdeck_session_stage_seconds",
            "From the wish for a session to each stage; those of sessions that became playable.",
            ("stage",),
            buckets=STAGE_S,
            registry=registry,
        )
        self._attempts = Counter(
            "quarterdeck_provisioning_attempts", "Beginnings to get a machine.", ("provider",), registry=registry
        )
        self._failures = Counter(
            "quarterdeck_provisioning_failures",
            "VMs that failed before they were ready, by where.",
            ("provider", "kind"),
            registry=registry,
        )
        self._durations = Histogram(
            "quarterdeck_provisioning_seconds",
            "How long VMs were PROVISIONING and BOOTING, by what came of it.",
            ("provider", "state", "outcome"),
            buckets=PROVISIONING_S,
            registry=registry,
        )

    async def note(self, store: Store, events: Sequence[Event]) -> None:
        """`store` knows when a VM has entered the state that it leaves. Raises its Conflict and Unavailable."""
        for event in events:
            kind = event.draft.type
            self._events.labels(kind).inc()
            if kind.startswith("quarterdeck.session."):
                self._session(event)
            elif kind.startswith("quarterdeck.vm."):
                await self._vm(store, event)

    def _session(self, event: Event) -> None:
        data = event.draft.data
        state = str(data.get("state", ""))
        waited_s = data.get("waited_s")
        if isinstance(waited_s, int | float):
            self._waits.labels(QUEUE_ENDS[state]).observe(waited_s)
        for stage in STAGES:
            reached_s = data.get(f"{stage}_s")
            if isinstance(reached_s, int | float):
                self._stages.labels(stage).observe(reached_s)
        if event.draft.type in ENDS:
            self._ended.labels(state, str(data.get("reason", ""))).inc()

    async def _vm(self, store: Store, event: Event) -> None:
        draft = event.draft
        provider, previous = str(draft.data.get("provider", "")), str(draft.data.get("previous", ""))
        if provider == STATIC:
            return
        if draft.type == "quarterdeck.vm.provisioned":
            self._attempts.labels(provider).inc()
        if previous not in ON_THE_WAY:
            return
        broken = draft.type == "quarterdeck.vm.error"
        if broken:
            self._failures.labels(provider, str(draft.data.get("failure", REPORTED))).inc()
        async with store.reading() as tx:
            earlier = await tx.transitions.of_vm(
                draft.subject.removeprefix("vms/"), Page(1, (event.at, str(draft.subject_version)))
            )
        if earlier and earlier[0].state == previous:
            outcome = "failed" if broken else "abandoned" if draft.type == "quarterdeck.vm.terminated" else "done"
            took_s = (event.at - earlier[0].at).total_seconds()
            self._durations.labels(provider, previous, outcome).observe(max(0.0, took_s))


ENDS = frozenset(f"quarterdeck.session.{word}" for word in ("stopped", "completed", "crashed", "lost", "rejected"))
