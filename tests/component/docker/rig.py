"""A real agent on a real Docker Engine, told what to run by a control plane that only remembers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from quarterdeck.v1 import games_pb2, sessions_pb2, wrapper_pb2, wrapper_pb2_grpc

from tests.component.hostagent.conftest import Agents
from tests.component.hostagent.fakeplane import FakePlane, run_line, stop_line
from tests.component.wrapper.rig import Browser
from tests.docker_engine import Engine

RUNNING, EXITED = wrapper_pb2.WORKLOAD_STATE_RUNNING, wrapper_pb2.WORKLOAD_STATE_EXITED
Reason = sessions_pb2.SessionReason
PATIENCE_S = 60


class Fleet:
    """One machine: its agent, its engine and what the control plane hears."""

    # False: its games are programs of this machine.
    contained = True

    def __init__(self, plane: FakePlane, agents: Agents, engine: Engine, image: str) -> None:
        self.plane = plane
        self.agents = agents
        self.engine = engine
        self.image = image

    def start_agent(self, *options: str):
        docker = ("--runtime", "docker", "--docker-socket", self.engine.socket, "--wrapper-image", self.image)
        process = ("--runtime", "process", "--wrapper-command", f"{sys.executable} -P -m wrapper")
        return self.agents.start(*(docker if self.contained else process), *options)

    def path(self, session_id: str = "game-1") -> Path:
        return self.agents.session_dir(session_id)

    def add(self, image: str, command: Sequence[str] = (), session_id: str = "game-1", **choices) -> str:
        """Makes a spec for a game of `image`; returns its digest. `choices` change the deployment."""
        spec = wrapper_pb2.SessionSpec(session_id=session_id, generation=1, project="p")
        deployment = spec.deployment
        if self.contained:
            deployment.container.image = image
            deployment.container.pull = games_pb2.PULL_POLICY_NEVER
        deployment.command.extend(command)
        deployment.picture = choices.pop("picture", games_pb2.PICTURE_NONE)
        deployment.stop_grace.FromMilliseconds(choices.pop("grace_ms", 3000))
        if deployment.picture == games_pb2.PICTURE_NONE:
            deployment.readiness.log_pattern = choices.pop("ready", "ready")
            if (http := choices.pop("http", None)) is not None:
                port_name, path, status = http
                deployment.readiness.http.port_name, deployment.readiness.http.path = port_name, path
                deployment.readiness.http.expected_status = status
            deployment.readiness.timeout.FromSeconds(choices.pop("timeout_s", 60))
        else:
            spec.video.width, spec.video.height, spec.video.fps = 640, 480, 10
            spec.video.bitrate_kbps = 1500
        for name, protocol, host_port, game_port in choices.pop("ports", ()):
            spec.ports.add(port_name=name, protocol=protocol, host_port=host_port, game_port=game_port)
        for name, value in choices.pop("container", {}).items():
            setattr(deployment.container, name, value)
        deployment.disk_bytes = choices.pop("disk_bytes", 0)
        for volume_name, path in choices.pop("volumes", ()):
            deployment.container.volumes.add(volume_name=volume_name, path=path)
        for path, content in choices.pop("files", {}).items():
            spec.files.add(path=path, content=content)
        if command_line := choices.pop("stop_command", ""):
            deployment.stop_command = command_line
            deployment.stop_command_grace.FromSeconds(30)
        deployment.environment.update(choices)
        content = spec.SerializeToString(deterministic=True)
        digest = hashlib.sha256(content).hexdigest()
        self.plane.specs[digest] = content
        return digest

    async def until(self, state: int, session_id: str = "game-1") -> wrapper_pb2.WorkloadStatus:
        """The first report of that state; an end that comes before it fails the test at once."""
        try:
            await self.plane.until(
                lambda: self.plane.is_in(session_id, state) or self.plane.is_in(session_id, EXITED), PATIENCE_S
            )
        except TimeoutError:
            pytest.fail(f"{session_id} did not get there, it is {self.plane.reported(session_id)}\n{self.agents.log()}")
        status = self.plane.reported(session_id)
        assert status.state == state, f"{status}\n{self.agents.log()}"
        return status

    async def run(self, digest: str, session_id: str = "game-1") -> wrapper_pb2.WorkloadStatus:
        self.plane.plan(run_line(session_id, digest))
        return await self.until(RUNNING, session_id)

    async def stop(self, digest: str, session_id: str = "game-1") -> wrapper_pb2.WorkloadStatus:
        self.plane.plan(stop_line(session_id, digest))
        return await self.until(EXITED, session_id)

    def containers(self, everything: bool = True) -> list[dict]:
        label = f"quarterdeck.sessions-root={self.agents.data_dir() / 'sessions'}"
        return self.engine.client.containers(all=everything, filters={"label": [label]})

    def container(self, role: str) -> dict:
        (row,) = [row for row in self.containers() if row["Labels"]["quarterdeck.role"] == role]
        return self.engine.client.inspect_container(row["Id"])

    def networks(self) -> list[str]:
        label = f"quarterdeck.sessions-root={self.agents.data_dir() / 'sessions'}"
        return [network["Name"] for network in self.engine.client.networks(filters={"label": [label]})]

    def remove_all(self) -> None:
        for row in self.containers():
            self.engine.client.remove_container(row["Id"], force=True, v=True)
        # An engine has addresses for thirty networks only.
        for network in self.networks():
            self.engine.client.remove_network(network)

    @asynccontextmanager
    async def wrapper(self, session_id: str = "game-1") -> AsyncIterator[wrapper_pb2_grpc.WrapperServiceAsyncStub]:
        """Over its own socket, as the agent's link reaches it."""
        directory = os.open(self.path(session_id), os.O_RDONLY | os.O_DIRECTORY)
        try:
            async with grpc.aio.insecure_channel(f"unix:/proc/self/fd/{directory}/wrapper.sock") as channel:
                yield wrapper_pb2_grpc.WrapperServiceStub(channel)
        finally:
            os.close(directory)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        async with self.wrapper() as stub:
            browser = Browser()
            try:
                await browser.connect(stub, 1)
                yield browser
            finally:
                await browser.close()

    async def printed(self, last: str) -> Sequence[str]:
        """What the game has printed up to that line."""
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE_S), self.wrapper() as stub:
            call = stub.StreamConsole(wrapper_pb2.WrapperConsoleRequest())
            async for output in call:
                lines += [line.text for line in output.lines]
                if last in lines:
                    call.cancel()
                    return lines
        raise AssertionError(f"never printed {last!r}: {lines}")
