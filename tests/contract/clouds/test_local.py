"""The provider contract on `local`, with real agent processes: found again, doubled never, gone wholly."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from controlplane.adapters.clouds import agent_process
from controlplane.adapters.clouds.local import Fault, LocalProvider, MachineType, Terms
from controlplane.domain.instance import Instance, InstanceState, Invitation, ProviderRefused
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.settings import foreign_environment
from controlplane.values import FAULTS
from tests.encoders import NO_ENCODERS
from tests.ports import free_port

# Nobody listens there: the agents try for ever, as they do while a control plane is away.
INVITATION = Invitation("vm-1", f"127.0.0.1:{free_port()}", "ab" * 32, "a-join-token")
ENVIRONMENT = foreign_environment() | {"QUARTERDECK_AGENT_PROBE_COMMAND": shlex.join(NO_ENCODERS)}
TERMS = Terms(capacity=2, machine_types=(MachineType("small", 5), MachineType("big", 9, frozenset({"L4-90"}))))


def marked(root: Path) -> list[psutil.Process]:
    """Every live process that belongs to a machine below `root`."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(agent_process.FOLDER, "/")
            if Path(mark).is_relative_to(root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def agents(root: Path) -> list[psutil.Process]:
    """Those of them that are agents, without what these have started."""
    found = []
    for process in marked(root):
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            words = process.cmdline()[1 : 1 + len(agent_process.AGENT)]
            if words == list(agent_process.AGENT) and os.getsid(process.pid) == process.pid:
                found.append(process)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "machines"


@pytest.fixture
async def provider(root: Path) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(root, ENVIRONMENT, TERMS)
    yield provider
    for instance in (await provider.list_owned("")).instances:
        await provider.destroy(instance.id)
    assert marked(root) == []
    assert [path.name for path in root.iterdir()] == ["lock"]


async def buy(provider: LocalProvider, tag: str = "qd-1-a") -> Instance:
    offer = (await provider.offers(["local"], "local"))[0]
    return await provider.create(offer, tag, INVITATION)


async def test_offers_are_by_region_and_template(provider: LocalProvider) -> None:
    assert await provider.offers(["moon"], "local") == []
    assert [(o.machine_type, o.price_micro_per_hour) for o in await provider.offers(["local"], "local")] == [
        ("small", 5)
    ]
    assert {o.machine_type for o in await provider.offers(["local"], "L4-90")} == {"small", "big"}
    await provider.find("qd-1-a")


async def test_a_machine_is_an_agent_and_the_same_order_twice_is_one_machine(
    provider: LocalProvider, root: Path
) -> None:
    first = await buy(provider)
    assert await buy(provider) == first
    assert (first.state, first.tag, len(agents(root))) == (InstanceState.RUNNING, "qd-1-a", 1)
    assert "a-join-token" not in " ".join(agents(root)[0].cmdline())
    listing = await provider.list_owned("qd-1-")
    assert (listing.complete, listing.instances) == (True, (first,))
    assert (await provider.list_owned("qd-2-")).instances == ()


async def test_another_process_finds_the_same_machine_and_can_end_it(provider: LocalProvider, root: Path) -> None:
    bought = await buy(provider)
    agent = agents(root)[0].pid
    other = LocalProvider(root, ENVIRONMENT, TERMS)
    assert (await other.find("qd-1-a")).instances == (bought,)
    assert [process.pid for process in agents(root)] == [agent]
    await other.destroy(bought.id)
    await other.destroy(bought.id)
    assert marked(root) == []
    assert (await provider.find("qd-1-a")).instances == ()


async def test_an_agent_that_died_is_started_again_and_one_that_nobody_wrote_down_is_found(
    provider: LocalProvider, root: Path
) -> None:
    await buy(provider)
    (agent,) = agents(root)
    agent.send_signal(signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, [agent], 20)
    await provider.find("qd-1-a")
    (again,) = agents(root)
    assert again.pid != agent.pid
    # As if whoever started it had died before writing its pid down.
    record = root / "qd-1-a" / "machine.json"
    record.write_text(record.read_text().replace(f'"pid": {again.pid}', '"pid": 0'))
    await provider.find("qd-1-a")
    assert [process.pid for process in agents(root)] == [again.pid]


async def test_stopped_is_kept_and_started_is_the_same_machine(provider: LocalProvider, root: Path) -> None:
    bought = await buy(provider)
    await provider.stop(bought.id)
    assert marked(root) == []
    kept = (await provider.find("qd-1-a")).instances
    assert [(i.id, i.state) for i in kept] == [(bought.id, InstanceState.STOPPED)]
    await provider.start(bought.id)
    assert (await provider.find("qd-1-a")).instances == (bought,)
    assert len(agents(root)) == 1
    with pytest.raises(ProviderRefused):
        await provider.stop("local-0")


async def test_no_more_than_its_capacity_and_no_ports_shared(provider: LocalProvider, root: Path) -> None:
    first, second = await buy(provider), await buy(provider, "qd-1-b")
    assert first.media_ports is not None
    assert second.media_ports is not None
    assert first.media_ports[1] < second.media_ports[0]
    with pytest.raises(ProviderRefused) as refused:
        await buy(provider, "qd-1-c")
    assert (refused.value.failure.code, refused.value.failure.remedy) == ("SOLD_OUT", Remedy.RETRY)
    assert not (root / "qd-1-c").exists()


@pytest.mark.parametrize("tag", ["", "../x", "a/b", "A", "x" * 64])
async def test_a_tag_is_never_a_path(provider: LocalProvider, tag: str) -> None:
    with pytest.raises(ProviderRefused):
        await buy(provider, tag)
    await provider.list_owned("qd")


def thrown(root: Path, faults: Mapping[Fault, float], *dice: float) -> LocalProvider:
    throws = iter(dice)
    return LocalProvider(root, ENVIRONMENT, Terms(faults=faults), lambda: next(throws))


async def test_failures_are_by_the_dice_each_with_its_share(root: Path) -> None:
    flaky = thrown(root, {Fault.SOLD_OUT: 0.25, Fault.STUBBORN: 1, Fault.API_ERROR: 0.25}, 0.24, 0.49, 0.5)
    for code in ("SOLD_OUT", "API_ERROR"):
        with pytest.raises(ProviderRefused, match=code):
            await buy(flaky)
    bought = await buy(flaky)
    await flaky.destroy(bought.id)
    assert marked(root) == []


@pytest.mark.parametrize(
    ("fault", "kind", "remedy"),
    [
        (Fault.SOLD_OUT, FailureKind.PROVISIONING, Remedy.ANOTHER_OFFER),
        (Fault.API_ERROR, FailureKind.PROVIDER_API, Remedy.RETRY),
        (Fault.FORBIDDEN, FailureKind.PROVIDER_API, Remedy.GIVE_UP),
    ],
)
async def test_a_refusal_has_its_kind_and_its_class(
    root: Path, fault: Fault, kind: FailureKind, remedy: Remedy
) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await buy(thrown(root, {fault: 1.0}, 0.5))
    assert (refused.value.failure.kind, refused.value.failure.remedy) == (kind, remedy)
    assert not root.exists()


async def test_an_order_or_its_reply_is_lost(root: Path) -> None:
    flaky = thrown(root, {Fault.LOST_ORDER: 0.5, Fault.LOST_REPLY: 0.5}, 0.4, 0.6)
    for machines in (0, 1):
        with pytest.raises(TimeoutError):
            await buy(flaky)
        found = (await flaky.find("qd-1-a")).instances
        assert len(found) == machines
    await flaky.destroy(found[0].id)


@pytest.mark.parametrize(
    ("fault", "state"), [(Fault.BROKEN, InstanceState.FAILED), (Fault.SILENT, InstanceState.RUNNING)]
)
async def test_a_machine_that_came_up_wrong_has_no_agent(root: Path, fault: Fault, state: InstanceState) -> None:
    bought = await buy(thrown(root, {fault: 1.0}, 0.5))
    assert bought.state is state
    another = LocalProvider(root, ENVIRONMENT, TERMS)
    assert [instance.state for instance in (await another.find("qd-1-a")).instances] == [state]
    assert marked(root) == []
    await another.destroy(bought.id)


async def test_a_stubborn_machine_is_neither_stopped_nor_started(root: Path) -> None:
    stubborn = thrown(root, {Fault.STUBBORN: 0.5}, 0.0, 0.4, 0.4, 0.6)
    bought = await buy(stubborn)
    for call in (stubborn.stop, stubborn.start):
        with pytest.raises(ProviderRefused, match="NOT_SWITCHED"):
            await call(bought.id)
    assert len(agents(root)) == 1
    await stubborn.stop(bought.id)
    assert marked(root) == []
    await stubborn.destroy(bought.id)


async def test_an_order_takes_as_long_as_its_terms_say(root: Path) -> None:
    slow = LocalProvider(root, ENVIRONMENT, Terms(delay_s=3600))
    order = asyncio.create_task(buy(slow))
    assert (await slow.find("qd-1-a")).instances == ()
    order.cancel()
    with pytest.raises(asyncio.CancelledError):
        await order


def test_the_settings_know_every_fault() -> None:
    assert set(FAULTS) == {str(fault) for fault in Fault}


async def test_many_calls_at_once_do_not_wait_for_each_other_for_ever(provider: LocalProvider) -> None:
    bought = await buy(provider)
    async with asyncio.timeout(60):
        listings = [provider.find("qd-1-a") for _ in range(40)]
        await asyncio.gather(*listings[:20], provider.destroy(bought.id), *listings[20:])
    assert (await provider.find("qd-1-a")).instances == ()
