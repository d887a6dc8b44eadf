"""What a restarted agent finds: running wrappers are adopted, dead ones told, strays of ours killed.

Only the session directories under this agent's data directory count, and processes with one of them as their mark:
all the rest is left alone.
"""

from __future__ import annotations

import asyncio
import os
import time

import structlog
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent import statuses
from hostagent.procfs import is_alive, mark_of
from hostagent.runtime import Instance, Runtime
from hostagent.sessiondir import STATUS, Launch, SessionDir
from hostagent.workload import Workload
from hostagent.workloads import Workloads

log = structlog.get_logger()


async def adopt(workloads: Workloads) -> None:
    """Takes stock once, before the first hello. What cannot be ended yet holds up nobody."""
    runtime = workloads.around.runtime
    running = {instance.session_dir: instance for instance in await runtime.find()}
    SessionDir.forget_gone(workloads.root)
    directories = list(SessionDir.scan(workloads.root))
    known = [(directory, running.pop(directory.path, None)) for directory in directories]
    await asyncio.gather(*(_take_over(workloads, directory, found) for directory, found in known))
    await asyncio.gather(*(_end_stray(runtime, stray) for stray in running.values()))


async def _end_stray(runtime: Runtime, stray: Instance) -> None:
    try:
        killed = await runtime.kill(stray.session_dir, stray.process)
    except OSError as error:
        log.error("stray processes cannot be killed", of=stray.session_dir.name, why=str(error))
        return
    log.warning("stray processes killed: their session directory is gone", of=stray.session_dir.name, processes=killed)


async def _take_over(workloads: Workloads, directory: SessionDir, found: Instance | None) -> None:
    try:
        launch, status, wrapper = _records(directory, found)
    except Exception:
        # Nobody's records keep an agent from starting, whatever a game has made of its own: it is over then.
        log.exception("a session's records cannot be read", workload=str(directory.key))
        launch, status, wrapper = Launch("", 0.0, time.time()), None, None
    workload = Workload(directory, "", workloads.around)
    begun = launch is not None and launch.unfinished
    ended = status is not None and status.state == wrapper_pb2.WORKLOAD_STATE_EXITED
    if wrapper is not None and launch is not None:
        workload.adopt(wrapper, launch, status)
        log.info("workload adopted", workload=str(directory.key), wrapper_pid=wrapper.process.pid)
    elif (launch is None and not ended) or (begun and status is None):
        # The agent died while preparing or starting: its wrapper waits for a record of the start, so no game has begun,
        # and the plan may start it anew.
        try:
            await workloads.around.runtime.kill(directory.path, None)
            await asyncio.to_thread(directory.remove)
        except OSError as error:
            failed, why = sessions_pb2.SESSION_REASON_START_FAILED, f"an earlier start of it cannot be undone: {error}"
            workload.finish(statuses.exited(directory.key, failed, why), launch)
        else:
            return
    else:
        if status is None or not ended:
            lost = sessions_pb2.SESSION_REASON_WRAPPER_LOST
            status = statuses.exited(directory.key, lost, "the wrapper died while the agent was away", status)
        workload.finish(status, launch)
    workloads.add(workload)


def _records(
    directory: SessionDir, found: Instance | None
) -> tuple[Launch | None, wrapper_pb2.WorkloadStatus | None, Instance | None]:
    """Its launch, the last word of its wrapper, and that one, where it may run on."""
    launch = directory.launch()
    status = statuses.parse(directory.read(STATUS), directory.key)
    begun = launch is not None and launch.unfinished
    return launch, status, _wrapper(directory, launch, found) if status is not None or not begun else None


def _wrapper(directory: SessionDir, launch: Launch | None, found: Instance | None) -> Instance | None:
    """The running wrapper of a directory: the process on record, the agent's own or else the wrapper's."""
    if found is not None and found.certain:
        return found
    recorded = (launch.process if launch else None) or directory.wrapper_process()
    if recorded is None:
        return found  # no record can be read: the mark alone tells
    if found is not None and found.process == recorded:
        return found
    # On record and alive, though the mark is not to be seen: the data directory goes by another path now.
    # The name in the mark must be this one all the same: the record lies where a game may have changed it.
    known = launch is not None and launch.this_boot and is_alive(recorded)
    ours = known and os.path.basename(mark_of(recorded.pid) or "") == directory.path.name
    return Instance(directory.path, recorded) if ours else None
