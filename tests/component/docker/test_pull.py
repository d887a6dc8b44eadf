"""Images out of a real registry: when they are fetched, how far a fetch is, and why one fails."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from quarterdeck.v1 import games_pb2

from tests import registry as registries
from tests.component.docker.rig import EXITED, RUNNING, Fleet, Reason
from tests.component.hostagent.fakeplane import run_line
from tests.registry import Registry
from tests.spooled import said

ALWAYS, IF_NOT_PRESENT = games_pb2.PULL_POLICY_ALWAYS, games_pb2.PULL_POLICY_IF_NOT_PRESENT
READY = ("sh", "-c", "cat /version; echo ready; exec sleep 600")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    yield from registries.run(tmp_path_factory.mktemp("registry") / "open")


def publish(fleet: Fleet, registry: Registry, box: str, name: str, ballast: int = 1000, version: str = "1") -> str:
    """Makes an image with a layer of its own, pushes it, and forgets it here."""
    client, image = fleet.engine.client, f"{registry.name}/{name}:latest"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for path, content in (
            ("Dockerfile", f"FROM {box}\nCOPY ballast version /\n".encode()),
            ("ballast", os.urandom(ballast)),
            ("version", f"version {version}\n".encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    context.seek(0)
    for line in client.build(fileobj=context, custom_context=True, tag=image, rm=True, nocache=True, decode=True):
        assert "error" not in line, line
    for line in client.push(image, stream=True, decode=True):
        assert "error" not in line, line
    client.remove_image(image, force=True)
    return image


def log(fleet: Fleet, session_id: str = "game-1") -> str:
    return said(fleet.path(session_id))


async def test_if_not_present_asks_once_and_always_asks_each_time(
    fleet: Fleet, registry: Registry, box_image: str
) -> None:
    image = publish(fleet, registry, box_image, "policy")
    first = fleet.add(image, READY, container={"pull": IF_NOT_PRESENT})
    fleet.start_agent()
    status = await fleet.run(first)
    assert status.HasField("image_ready_after")
    await fleet.stop(first)
    assert publish(fleet, registry, box_image, "policy", version="2") == image
    second = fleet.add(image, READY, "game-2", container={"pull": ALWAYS})
    await fleet.run(second, "game-2")
    assert "version 2" in log(fleet, "game-2")
    third = fleet.add(image, READY, "game-3", container={"pull": games_pb2.PULL_POLICY_NEVER})
    await fleet.run(third, "game-3")
    assert "version 2" in log(fleet, "game-3")


async def test_a_long_pull_tells_how_far_it_is_and_then_plays(fleet: Fleet, registry: Registry, box_image: str) -> None:
    name = publish(fleet, registry, box_image, "long", ballast=8 << 20).partition("/")[2]
    async with registries.gate(registry, 3 << 20) as gate:
        image = f"{gate.name}/{name}"
        fleet.plane.plan(run_line("game-1", fleet.add(image, READY, container={"pull": IF_NOT_PRESENT})))
        fleet.start_agent()

        def far() -> bool:
            status = fleet.plane.reported("game-1")
            return status is not None and f"pulling {image}: " in status.reason_detail

        await fleet.plane.until(far, 60)
        held = fleet.plane.reported("game-1")
        assert held is not None
        assert not held.HasField("image_ready_after")
        beats = fleet.plane.stream.heartbeats
        await fleet.plane.until(lambda: fleet.plane.stream.heartbeats > beats + 2)
        gate.open.set()
        status = await fleet.until(RUNNING)
        assert status.HasField("image_ready_after")
        assert status.reason_detail == ""


async def fails(fleet: Fleet, image: str) -> tuple[int, str]:
    fleet.plane.plan(run_line("game-1", fleet.add(image, READY, container={"pull": IF_NOT_PRESENT})))
    fleet.start_agent()
    status = await fleet.until(EXITED)
    assert not fleet.containers()
    return status.reason, status.reason_detail


async def test_an_image_that_the_registry_does_not_have(fleet: Fleet, registry: Registry) -> None:
    reason, detail = await fails(fleet, f"{registry.name}/nothing:1")
    assert reason == Reason.SESSION_REASON_IMAGE_NOT_FOUND, detail


async def test_a_registry_that_nobody_runs(fleet: Fleet) -> None:
    reason, detail = await fails(fleet, "127.0.0.1:1/nothing:1")
    assert reason == Reason.SESSION_REASON_REGISTRY_UNREACHABLE, detail


async def test_a_registry_that_asks_who_we_are(fleet: Fleet, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("somebody:$2y$05$" + "a" * 53 + "\n")
    auth = f"auth: {{htpasswd: {{realm: here, path: {users}}}}}"
    for closed in registries.run(tmp_path / "closed", auth):
        reason, detail = await fails(fleet, f"{closed.name}/box:1")
        assert reason == Reason.SESSION_REASON_IMAGE_DENIED, detail


async def test_an_image_that_is_damaged(fleet: Fleet, registry: Registry, box_image: str) -> None:
    image = publish(fleet, registry, box_image, "damaged", ballast=9 << 20)
    layer = registry.layers()[0]
    content = bytearray(layer.read_bytes())
    content[len(content) // 2] ^= 0xFF
    layer.write_bytes(content)
    reason, detail = await fails(fleet, image)
    assert reason == Reason.SESSION_REASON_IMAGE_CORRUPT, detail
