"""The link: what survives its breaks, and what the agent says over it."""

from __future__ import annotations

import signal
from pathlib import Path

from quarterdeck.v1 import agent_pb2, streaming_pb2, wrapper_pb2

from tests.component.hostagent.conftest import Agents
from tests.component.hostagent.fakeplane import FakePlane, Stream, run_line

RUNNING = wrapper_pb2.WORKLOAD_STATE_RUNNING


def last_said(stream: Stream, channel_id: str) -> str:
    """The kind and text of the last signal of a channel."""
    for message in reversed(stream.signals):
        if message.channel_id == channel_id:
            said = message.signal
            text = said.description.sdp or said.candidate.candidate or said.close.reason
            return f"{said.WhichOneof('kind')} {text}"
    return ""


def channel_open(channel_id: str, session_id: str = "game-1") -> agent_pb2.ControlMessage:
    role = streaming_pb2.STREAM_ROLE_VIEWER
    opening = agent_pb2.ChannelOpen(channel_id=channel_id, session_id=session_id, generation=1, role=role)
    return agent_pb2.ControlMessage(channel_open=opening)


def candidate(channel_id: str, text: str) -> agent_pb2.ControlMessage:
    said = streaming_pb2.Signal(candidate=streaming_pb2.IceCandidate(candidate=text))
    return agent_pb2.ControlMessage(signal=agent_pb2.ChannelSignal(channel_id=channel_id, signal=said))


async def test_reports_are_repeated_until_they_are_acknowledged(plane: FakePlane, agents: Agents) -> None:
    plane.acknowledging = False
    plane.plan()
    agents.start()
    await plane.until(lambda: plane.streams and len(plane.stream.reports) >= 3)
    newest, repeated = plane.stream.reports[-2:]
    assert repeated.sequence == newest.sequence
    plane.acknowledging = True
    plane.plan()
    sequence = repeated.sequence
    await plane.until(lambda: plane.stream.reports[-1].sequence > sequence)
    sequences = [report.sequence for report in plane.stream.reports]
    assert sequences == sorted(sequences)


async def test_a_broken_stream_is_made_anew_with_the_same_epoch_and_a_full_report(
    plane: FakePlane, agents: Agents
) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    sequence = plane.stream.reports[-1].sequence
    plane.stream.out.put_nowait(None)
    await plane.until(lambda: len(plane.streams) == 2 and plane.is_in("game-1", RUNNING))
    assert plane.stream.hello.start_id == plane.streams[0].hello.start_id
    assert plane.stream.reports[0].sequence > sequence
    assert (agents.session_dir("game-1") / "starts").read_text().count("\n") == 1


async def test_a_control_plane_that_restarts_is_found_again(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    await plane.stop()
    await plane.start(link_port=int(plane.link_target.rpartition(":")[2]))
    await plane.until(lambda: len(plane.streams) == 2 and plane.is_in("game-1", RUNNING))
    assert "link down" in agents.log()


async def test_a_frozen_agent_goes_on_where_it_was(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agent = agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    agent.send_signal(signal.SIGSTOP)
    digest = plane.add_spec("game-2")
    plane.plan(*plane.lines, run_line("game-2", digest))
    heard = plane.stream.heartbeats
    agent.send_signal(signal.SIGCONT)
    await plane.until(lambda: plane.stream.heartbeats > heard and plane.is_in("game-2", RUNNING))
    assert plane.stream.epoch == 1
    assert (agents.session_dir("game-1") / "starts").read_text().count("\n") == 1


async def test_an_older_plan_of_the_same_link_is_ignored(plane: FakePlane, agents: Agents) -> None:
    digest = plane.add_spec("game-1")
    plane.plan()
    plane.plan(run_line("game-1", digest))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    plane.stream.out.put_nowait(agent_pb2.ControlMessage(plan=agent_pb2.Plan(version=1)))
    plane.plan(run_line("game-1", digest), run_line("game-2", plane.add_spec("game-2")))
    await plane.until(lambda: plane.is_in("game-2", RUNNING))
    assert plane.is_in("game-1", RUNNING)


async def test_a_spec_that_comes_late_is_asked_for_until_it_comes(plane: FakePlane, agents: Agents) -> None:
    digest = plane.add_spec("game-1")
    content = plane.specs.pop(digest)
    plane.plan(run_line("game-1", digest))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", wrapper_pb2.WORKLOAD_STATE_STARTING))
    assert not agents.session_dir("game-1").exists()
    plane.specs[digest] = content
    await plane.until(lambda: plane.is_in("game-1", RUNNING))


async def test_a_spec_whose_link_ends_on_the_way_is_asked_for_again(plane: FakePlane, agents: Agents) -> None:
    plane.giving_specs.clear()
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.specs_asked == 1)
    plane.stream.out.put_nowait(None)
    await plane.until(lambda: plane.specs_asked == 2)
    plane.giving_specs.set()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))


async def test_signalling_goes_both_ways_and_the_wrapper_may_close(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    out = plane.stream.out
    out.put_nowait(channel_open("c1"))
    out.put_nowait(channel_open("c2"))
    viewer = int(streaming_pb2.STREAM_ROLE_VIEWER)
    await plane.until(lambda: last_said(plane.stream, "c1") == f"description role {viewer}")
    await plane.until(lambda: last_said(plane.stream, "c2") == f"description role {viewer}")
    out.put_nowait(candidate("c1", "here"))
    await plane.until(lambda: last_said(plane.stream, "c1") == "candidate here")
    assert last_said(plane.stream, "c2") == f"description role {viewer}"
    out.put_nowait(candidate("c1", "end"))
    await plane.until(lambda: last_said(plane.stream, "c1") == "close the peer is done")


async def test_a_channel_closed_by_the_browser_is_over_without_an_answer(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    out = plane.stream.out
    out.put_nowait(channel_open("c1"))
    await plane.until(lambda: last_said(plane.stream, "c1").startswith("description"))
    close = streaming_pb2.Signal(close=streaming_pb2.SignalClose(reason="left"))
    out.put_nowait(agent_pb2.ControlMessage(signal=agent_pb2.ChannelSignal(channel_id="c1", signal=close)))
    out.put_nowait(candidate("c1", "too late"))
    out.put_nowait(channel_open("c2"))
    out.put_nowait(candidate("c2", "after"))
    await plane.until(lambda: last_said(plane.stream, "c2") == "candidate after")
    assert last_said(plane.stream, "c1").startswith("description")


async def test_a_channel_to_a_session_that_is_not_here_is_closed_with_the_reason(
    plane: FakePlane, agents: Agents
) -> None:
    plane.plan()
    agents.start()
    await plane.until(lambda: plane.streams)
    plane.stream.out.put_nowait(channel_open("c1", "nowhere"))
    await plane.until(lambda: "does not run here" in last_said(plane.stream, "c1"))


async def test_the_certificate_is_renewed_at_two_thirds_and_the_link_uses_the_new_one(
    tmp_path: Path, agents: Agents, plane: FakePlane
) -> None:
    plane.ca = type(plane.ca)(tmp_path / "ca", cert_ttl_s=12)
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    await plane.until(lambda: plane.renewals >= 1)
    await plane.until(lambda: len(plane.streams) >= 2 and plane.is_in("game-1", RUNNING))
    assert plane.stream.certificate != plane.streams[0].certificate
    assert plane.stream.epoch == 1
    assert plane.enrolments == 1


async def test_a_lease_is_renewed_by_acknowledged_reports(plane: FakePlane, agents: Agents) -> None:
    leased = wrapper_pb2.SessionSpec()
    leased.lease.FromSeconds(8)
    digest = plane.add_spec("game-1", lease=leased.lease)
    plane.plan(run_line("game-1", digest), run_line("game-2", plane.add_spec("game-2")))
    agents.start()
    leases = agents.session_dir("game-1") / "leases"
    await plane.until(lambda: leases.exists() and leases.read_text().count("\n") >= 3, timeout_s=60)
    assert all(0 < float(line) <= 8 for line in leases.read_text().splitlines())
    assert not (agents.session_dir("game-2") / "leases").exists()


async def test_an_encoder_probe_that_fails_is_repeated_and_its_late_answer_told(
    plane: FakePlane, agents: Agents, tmp_path: Path
) -> None:
    probe = tmp_path / "probe.sh"
    probe.write_text(
        f"""cd {tmp_path}; mkdir first && {{ echo 'the codec is busy' >&2; exit 1; }}
while ! test -e found; do sleep 0.1; done
echo '{{"encoders": [{{"name": "libx264", "slots": 2}}]}}'"""
    )
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start("--probe-command", f"sh {probe}")
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    assert len(plane.streams) == 1
    assert list(plane.stream.hello.inventory.encoders) == []
    (tmp_path / "found").touch()
    await plane.until(lambda: len(plane.streams) == 2)
    first, second = plane.streams
    assert [(e.encoder_name, e.slots) for e in second.hello.inventory.encoders] == [("libx264", 2)]
    assert second.hello.start_id == first.hello.start_id
    assert [(w.session_id, w.generation) for w in second.hello.workloads] == [("game-1", 1)]
    assert "the codec is busy" in agents.log()
