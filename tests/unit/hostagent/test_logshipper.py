"""When a spool is due, and what is given up when too many wait."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from quarterdeck.v1 import agent_pb2

from hostagent import logshipper
from hostagent.agent import HostAgent
from hostagent.logshipper import BURST_BYTES, BYTES_PER_S, CHUNK_BYTES, LONGEST_WAIT_S, WAIT_S, LogShipper, Shipment
from hostagent.logspool import ACKED, Spool
from hostagent.plan import WorkloadKey


def lines(directory: Path, count: int) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{1:020d}").write_text("".join(f"{n}\t5\tstdout\tline\n" for n in range(1, count + 1)))
    return directory


def test_a_line_waits_for_company_longer_the_older_its_session(tmp_path: Path) -> None:
    spool = Spool(lines(tmp_path / "log", 1))
    young = Shipment(spool, known_since=0.0)
    assert not young.due(1.0)
    assert not young.due(1.0 + WAIT_S - 0.1)
    assert young.due(1.0 + WAIT_S)
    old = Shipment(spool, known_since=0.0)
    assert not old.due(100_000.0)
    assert not old.due(100_000.0 + LONGEST_WAIT_S - 0.1)
    assert old.due(100_000.0 + LONGEST_WAIT_S)


def test_a_full_chunk_and_an_ended_session_wait_for_nothing(tmp_path: Path) -> None:
    assert Shipment(Spool(lines(tmp_path / "full", 40_000)), 0.0).due(0.0)
    assert Shipment(Spool(lines(tmp_path / "over", 1)), 0.0, over=True).due(0.0)
    assert not Shipment(Spool(tmp_path / "none"), 0.0).due(1e9)


def test_a_flood_goes_at_once_up_to_a_burst_and_then_at_its_rate(tmp_path: Path) -> None:
    flood = Shipment(Spool(lines(tmp_path / "log", 40_000)), known_since=0.0)
    now, sent = 0.0, 0
    while flood.due(now):
        flood.sent(CHUNK_BYTES, now)
        sent += CHUNK_BYTES
    assert BURST_BYTES < sent <= BURST_BYTES + CHUNK_BYTES
    began = now
    for _ in range(50):
        now = flood.not_before
        assert flood.due(now)
        flood.sent(CHUNK_BYTES, now)
    assert 50 * CHUNK_BYTES / (flood.not_before - began) == pytest.approx(BYTES_PER_S, rel=0.05)
    flood.over = True
    assert flood.due(began)


async def test_of_too_many_logs_of_ended_sessions_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logshipper, "KEPT_BYTES", 5000)
    workloads = SimpleNamespace(root=tmp_path / "sessions", over=lambda _: False)
    shipper = LogShipper(workloads, None)  # type: ignore[arg-type]
    for number in range(3):
        lines(tmp_path / "logs" / f"game-{number}.1", 100)
        (tmp_path / "logs" / "not ours").mkdir(exist_ok=True)
        shipper._look(float(number))
    left = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert left == ["game-1.1", "game-2.1", "not ours"]


async def test_a_log_that_goes_while_it_is_looked_at_ends_nothing(tmp_path: Path) -> None:
    workloads = SimpleNamespace(root=tmp_path / "sessions", over=lambda _: False)
    shipper = LogShipper(workloads, None)  # type: ignore[arg-type]
    lines(tmp_path / "logs" / "game-1.1", 100)
    shipper._bound_kept(
        {WorkloadKey("game-1", 1): tmp_path / "logs" / "game-1.1", WorkloadKey("gone", 1): tmp_path / "x"}
    )


async def test_what_cannot_be_looked_at_once_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logshipper, "LOOK_S", 0.0)
    sent: asyncio.Queue[agent_pb2.AppendLogRequest] = asyncio.Queue()

    async def send(request: agent_pb2.AppendLogRequest) -> int:
        sent.put_nowait(request)
        return 100

    workloads = SimpleNamespace(root=tmp_path / "sessions", over=lambda _: False)
    shipper = LogShipper(workloads, send)  # type: ignore[arg-type]
    look, failures = shipper._look, [OSError(errno.EMFILE, "too many open files")]

    def failing_once(now: float) -> None:
        if failures:
            raise failures.pop()
        look(now)

    monkeypatch.setattr(shipper, "_look", failing_once)
    lines(tmp_path / "logs" / "game-1.1", 100)
    running = asyncio.create_task(shipper.run())
    async with asyncio.timeout(30):
        assert (await sent.get()).session_id == "game-1"
        assert (await sent.get()).complete
    running.cancel()
    await asyncio.wait({running})


async def test_a_log_that_its_game_keeps_from_being_acknowledged_has_no_more_allowance_than_others(
    tmp_path: Path,
) -> None:
    async def send(_: agent_pb2.AppendLogRequest) -> int:
        return 100

    shipper = LogShipper(SimpleNamespace(root=tmp_path / "sessions"), send)  # type: ignore[arg-type]
    shipment = Shipment(Spool(lines(tmp_path / "log", 100)), known_since=0.0, allowance=0.0, allowed_at=1e12)
    (tmp_path / "log" / ACKED / "trap").mkdir(parents=True)
    with pytest.raises(OSError, match=r".+"):
        await shipper._ship(WorkloadKey("game-1", 1), shipment)
    assert shipment.allowance < 0


async def test_an_agent_whose_shipper_is_over_is_over_too() -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    async def broken() -> None:
        raise LookupError("the shipper")

    agent: Any = SimpleNamespace(_reconcile_for_ever=for_ever)
    link: Any = SimpleNamespace(run=for_ever)
    logs: Any = SimpleNamespace(run=broken)
    with pytest.raises(LookupError):
        async with asyncio.timeout(30):
            await HostAgent._link_and_reconcile(agent, link, logs)
