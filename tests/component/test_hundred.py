"""A hundred sessions of a game without a picture at once on one machine: started, watched, stopped, nothing leaked."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import games_pb2, games_pb2_grpc, sessions_pb2, sessions_pb2_grpc, vms_pb2, vms_pb2_grpc

from hostagent import procfs
from tests.conftest import end_process
from tests.contract.store.rows import synchronous
from tests.house import House
from tests.ports import free_ports

SESSIONS = 100
PATIENCE_S = 600.0
# Six seats, 72 units each, and a session without a picture takes one.
TEMPLATE = "A16"
MACHINES = ("one", "two")

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1500)]


class Operator:
    """The operator's stubs, one blocking channel."""

    def __init__(self, house: House) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{house.grpc_port}")
        token = (house.data_dir / "operator.token").read_text().strip()
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.games = games_pb2_grpc.GameServiceStub(self._channel)
        self.vms = vms_pb2_grpc.VmServiceStub(self._channel)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(self._channel)

    def call(self, method, request, timeout_s: float = 60.0):
        return method(request, metadata=self.metadata, timeout=timeout_s)

    def until(self, state: str) -> None:
        """Every session is in it; none has ended otherwise."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            listed = self.call(self.sessions.ListSessions, sessions_pb2.ListSessionsRequest(page_size=500)).sessions
            counted = Counter(sessions_pb2.SessionState.Name(s.state).removeprefix("SESSION_STATE_") for s in listed)
            if counted == {state: SESSIONS}:
                return
            failed = [f"{s.name} {s.reason} {s.reason_detail}" for s in listed if s.HasField("end_time")]
            assert state == "STOPPED" or not failed, failed[:5]
            assert time.monotonic() < deadline, counted
            time.sleep(0.5)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, "--no-agent", media_ports=free_ports(400)) as started:
        yield started


@pytest.fixture
def operator(house: House) -> Iterator[Operator]:
    operator = Operator(house)
    yield operator
    operator.close()


@pytest.fixture
def agents(house: House, operator: Operator, tmp_path: Path) -> Iterator[list[psutil.Process]]:
    """Real agents with room for all of them, both on this machine."""
    started = [start_agent(operator, tmp_path, vm_id) for vm_id in MACHINES]
    deadline = time.monotonic() + 120
    for vm_id in MACHINES:
        wanted = vms_pb2.GetVmRequest(name=f"vms/{vm_id}")
        while operator.call(operator.vms.GetVm, wanted).state != vms_pb2.VM_STATE_READY:
            assert time.monotonic() < deadline, (tmp_path / f"{vm_id}.log").read_text()[-2000:]
            time.sleep(0.2)
    yield [psutil.Process(process.pid) for process in started]
    for process in started:
        end_process(process)
    for row in marked(tmp_path):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(row.id.pid).kill()


def start_agent(operator: Operator, folder: Path, vm_id: str) -> subprocess.Popen[bytes]:
    machine = vms_pb2.CreateVmRequest(vm_id=vm_id, region="local", template=TEMPLATE)
    operator.call(operator.vms.CreateVm, machine)
    joined = operator.call(operator.vms.CreateJoinToken, vms_pb2.CreateJoinTokenRequest(name=f"vms/{vm_id}"))
    token = folder / f"{vm_id}.token"
    token.write_text(joined.token)
    argv = [sys.executable, "-m", "hostagent", "run", "--data-dir", str(folder / "agents" / vm_id)]
    argv += ["--enrolment-target", joined.enrolment_target, "--ca-sha256", joined.ca_sha256]
    argv += ["--join-token-file", str(token)]
    with (folder / f"{vm_id}.log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)


def marked(root: Path) -> list[procfs.ProcessRow]:
    """Every process of any session below this folder."""
    return [row for row in procfs.rows() if row.mark and row.mark.startswith(str(root))]


def held(program: psutil.Process) -> tuple[int, ...]:
    """Open files, sockets and threads."""
    return program.num_fds(), len(program.net_connections(kind="all")), program.num_threads()


def test_a_hundred_at_once_leave_nothing(house: House, operator: Operator, agents, tmp_path: Path) -> None:
    operator.call(
        operator.games.CreateGame,
        games_pb2.CreateGameRequest(game_id="server", game=games_pb2.Game(display_name="Server")),
    )
    deployment = games_pb2.Deployment(
        command=["/bin/sleep", "3600"],
        picture=games_pb2.PICTURE_NONE,
        ports=[games_pb2.PortSpec(port_name="game", protocol="tcp")],
        readiness=games_pb2.Readiness(stays_up=Duration(nanos=100_000_000), timeout=Duration(seconds=600)),
    )
    operator.call(
        operator.games.CreateDeployment,
        games_pb2.CreateDeploymentRequest(parent="games/server", deployment=deployment),
    )
    before = [held(agent) for agent in agents]

    started = time.monotonic()
    wish = sessions_pb2.CreateSessionRequest(game="games/server", queue_timeout=Duration(seconds=60))
    asked = [
        operator.sessions.CreateSession.future(wish, metadata=operator.metadata, timeout=60) for _ in range(SESSIONS)
    ]
    names = {session.result().name for session in asked}
    assert len(names) == SESSIONS
    operator.until("RUNNING")
    print(f"{SESSIONS} sessions run after {time.monotonic() - started:.1f} s")
    games = [row for row in marked(tmp_path) if psutil.Process(row.id.pid).name() == "sleep"]
    assert len(games) == SESSIONS
    with synchronous(f"sqlite:///{house.data_dir / 'quarterdeck.db'}").connect() as rows:
        ports = rows.execute(sa.text("SELECT vm_id, host_port FROM port_leases WHERE free_at IS NULL")).all()
        assert len(ports) == len(set(ports)) == SESSIONS

    for name in names:
        operator.call(operator.sessions.StopSession, sessions_pb2.StopSessionRequest(name=name))
    operator.until("STOPPED")
    print(f"{SESSIONS} sessions started and stopped after {time.monotonic() - started:.1f} s")

    deadline = time.monotonic() + 60
    while (left := marked(tmp_path)) or (sessions := list((tmp_path / "agents").glob("*/sessions/*"))):
        assert time.monotonic() < deadline, (left, sessions)
        time.sleep(0.2)
    after = [held(agent) for agent in agents]
    # The agent's own pools may have grown by a thread or a socket; not by any per session.
    for now, then in zip(sum(after, ()), sum(before, ()), strict=True):
        assert now <= then + 10, (before, after)
    with synchronous(f"sqlite:///{house.data_dir / 'quarterdeck.db'}").connect() as rows:
        assert rows.execute(sa.text("SELECT count(*) FROM port_leases WHERE free_at IS NULL")).scalar() == 0
        assert rows.execute(sa.text("SELECT sum(used_units) FROM vms")).scalar() == 0
