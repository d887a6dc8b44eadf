"""WorkloadStatus messages: made, judged and compared in one place, so that the rest of the agent need not."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent.lifecycle import Phase, Trigger
from hostagent.plan import WorkloadKey
from hostagent.runtime import Usage

Reason = sessions_pb2.SessionReason
_Told = tuple[wrapper_pb2.WorkloadStatus | None, wrapper_pb2.WorkloadStatus | None]
MAX_DETAIL_CHARACTERS = 500
# Ten years, in seconds.
_LONGEST_S = 10 * 365 * 86400

_STATE_OF = {
    Phase.PREPARING: wrapper_pb2.WORKLOAD_STATE_STARTING,
    Phase.STARTING: wrapper_pb2.WORKLOAD_STATE_STARTING,
    Phase.RUNNING: wrapper_pb2.WORKLOAD_STATE_RUNNING,
    Phase.STOPPING: wrapper_pb2.WORKLOAD_STATE_STOPPING,
    Phase.EXITED: wrapper_pb2.WORKLOAD_STATE_EXITED,
}
# A wrapper that says EXITED moves nothing: a workload has ended only when its processes are gone and its ports free.
_TRIGGER_OF = {
    wrapper_pb2.WORKLOAD_STATE_RUNNING: Trigger.PLAYABLE,
    wrapper_pb2.WORKLOAD_STATE_STOPPING: Trigger.STOP_BEGAN,
}


def _words(text: str) -> str:
    """Of whomever, as a control plane can keep them: not every database has room for a NUL."""
    return text.replace("\0", "")[:MAX_DETAIL_CHARACTERS]


def trigger_of(status: wrapper_pb2.WorkloadStatus) -> Trigger | None:
    """What a wrapper's status means for the workload's phase; None: nothing."""
    return _TRIGGER_OF.get(status.state)


def parse(content: bytes | None, key: WorkloadKey) -> wrapper_pb2.WorkloadStatus | None:
    """A durable status of exactly this workload; None for anything else."""
    if content is None:
        return None
    try:
        status = wrapper_pb2.WorkloadStatus.FromString(content)
    except DecodeError:
        return None
    return bounded(status) if (status.session_id, status.generation) == (key.session_id, key.generation) else None


def bounded(said: wrapper_pb2.WorkloadStatus) -> wrapper_pb2.WorkloadStatus:
    """A wrapper's word within what a report may carry: a game may have spoken in its place, and one report is the whole
    host's."""
    status = wrapper_pb2.WorkloadStatus()
    status.CopyFrom(said)
    status.DiscardUnknownFields()
    status.ClearField("usage")
    status.reason_detail = _words(said.reason_detail)
    if status.HasField("stream"):
        status.stream.encoder_name = _words(said.stream.encoder_name)
    for message in (status, status.stream) if status.HasField("stream") else (status,):
        for field, value in message.ListFields():
            if isinstance(value, Duration) and not (0 <= value.seconds < _LONGEST_S and 0 <= value.nanos < 10**9):
                message.ClearField(field.name)
    return status


def exited(
    key: WorkloadKey,
    reason: sessions_pb2.SessionReason,
    detail: str,
    last: wrapper_pb2.WorkloadStatus | None = None,
) -> wrapper_pb2.WorkloadStatus:
    """An EXITED status in the agent's own words; stages come from the last status of the wrapper, if there was one."""
    status = wrapper_pb2.WorkloadStatus()
    if last is not None:
        status.CopyFrom(last)
        status.ClearField("exit_code")
        status.ClearField("stream")
    status.session_id, status.generation = key.session_id, key.generation
    status.state = wrapper_pb2.WORKLOAD_STATE_EXITED
    status.reason = reason
    status.reason_detail = _words(detail)
    return status


def _own_word(told: _Told) -> wrapper_pb2.WorkloadStatus | None:
    return next((one for one in told if one is not None and one.state == wrapper_pb2.WORKLOAD_STATE_EXITED), None)


def stopped(
    key: WorkloadKey, told: _Told, how: str, reason: sessions_pb2.SessionReason, detail: str
) -> wrapper_pb2.WorkloadStatus:
    """The end of a workload that was to stop, `how` as `ending` says it: in the words of its wrapper if it said any.
    `told`: its durable status, and the last one that was heard."""
    return _own_word(told) or exited(key, reason, detail or f"the wrapper ended{how} while stopping", told[1])


def died(key: WorkloadKey, told: _Told, how: str, output: str) -> wrapper_pb2.WorkloadStatus:
    """The end of a workload that nobody asked for; `output` is the end of what its wrapper wrote."""
    durable, last = told
    if durable is None and last is None:
        words = output.rpartition("\n")[2]
        detail = f"the wrapper ended{how} before it said anything" + (f": {words}" if words else "")
        return exited(key, Reason.SESSION_REASON_START_FAILED, detail)
    return _own_word(told) or exited(key, Reason.SESSION_REASON_WRAPPER_LOST, f"the wrapper died{how}", last or durable)


def snapshot(
    key: WorkloadKey,
    phase: Phase,
    last: wrapper_pb2.WorkloadStatus | None,
    age_s: float,
    progress: str = "",
    usage: Usage | None = None,
) -> wrapper_pb2.WorkloadStatus:
    """What to report of a workload now: the wrapper's last word in the phase that the agent knows it to be in."""
    status = wrapper_pb2.WorkloadStatus()
    if last is not None:
        status.CopyFrom(last)
    status.session_id, status.generation = key.session_id, key.generation
    status.state = _STATE_OF[phase]
    if phase is Phase.PREPARING:
        status.reason_detail = _words(progress)
    elif last is None:
        # The wrapper has not spoken yet; when it starts, the image is there.
        status.image_ready_after.FromNanoseconds(0)
    if usage is not None and phase is not Phase.EXITED:
        status.usage.CopyFrom(usage_message(usage))
    if phase is Phase.EXITED:
        status.ClearField("stream")
    else:
        status.ClearField("exit_code")
    status.age.FromNanoseconds(int(age_s * 1e9))
    return status


def usage_message(usage: Usage) -> sessions_pb2.ResourceUsage:
    """As reports tell it."""
    message = sessions_pb2.ResourceUsage(
        memory_bytes=usage.memory_bytes,
        memory_peak_bytes=usage.memory_peak_bytes,
        processes=usage.processes,
        oom_kills=usage.oom_kills,
        disk_bytes=usage.disk_bytes,
    )
    message.cpu_time.FromNanoseconds(round(usage.cpu_s * 1e9))
    return message


_MAY_BE_MEMORY = (Reason.SESSION_REASON_GAME_CRASHED, Reason.SESSION_REASON_WRAPPER_LOST)


def measured(
    ended: wrapper_pb2.WorkloadStatus,
    usage: Usage | None,
    out_of_memory: bool,
    limit_bytes: int,
    disk_limit_bytes: int = 0,
) -> wrapper_pb2.WorkloadStatus:
    """An end with what the session used; one that nobody asked for is put down to the want of memory, if that was why.
    `limit_bytes` 0: the host's own."""
    status = wrapper_pb2.WorkloadStatus()
    status.CopyFrom(ended)
    if usage is not None:
        status.usage.CopyFrom(usage_message(usage))
    if (
        out_of_memory
        and status.reason in _MAY_BE_MEMORY
        and not (status.HasField("exit_code") and not status.exit_code)
    ):
        status.reason = Reason.SESSION_REASON_OUT_OF_MEMORY
        limit = f"the {limit_bytes >> 20} MiB that its deployment allows" if limit_bytes else "what its host allows"
        status.reason_detail = f"The game was killed: it needed more memory than {limit}. {ended.reason_detail}".strip()
    elif usage is not None and status.reason == Reason.SESSION_REASON_DISK_LIMIT:
        took, allowed = f"{usage.disk_bytes / 2**20:.1f} MiB", f"{disk_limit_bytes / 2**20:.1f} MiB"
        told = f"Its files took {took} of its host's disk; its deployment allows {allowed}."
        if usage.disk_unmeasured and usage.disk_bytes <= disk_limit_bytes:
            told = f"What its files take cannot be measured ({usage.disk_unmeasured}); its deployment allows {allowed}."
        status.reason_detail = f"{told} {ended.reason_detail}".strip()
    return status


def breaks_disk_limit(usage: Usage, limit_bytes: int) -> bool:
    """Files that cannot be measured break any bound: or a bound would hold only those who let themselves be measured.
    `limit_bytes` 0: no bound."""
    return limit_bytes > 0 and (usage.disk_bytes > limit_bytes or usage.disk_unmeasured != "")


def same_but_for_figures(one: wrapper_pb2.WorkloadStatus | None, other: wrapper_pb2.WorkloadStatus) -> bool:
    """True when only live figures and the age differ: nothing that a report must hurry for."""
    if one is None:
        return False
    copies = [wrapper_pb2.WorkloadStatus(), wrapper_pb2.WorkloadStatus()]
    for copy, source in zip(copies, (one, other), strict=True):
        copy.CopyFrom(source)
        copy.ClearField("stream")
        copy.ClearField("age")
        copy.ClearField("last_activity_after")
    return copies[0] == copies[1] and _players(one) == _players(other)


def _players(status: wrapper_pb2.WorkloadStatus) -> tuple[int, int]:
    return status.stream.players, status.stream.viewers
