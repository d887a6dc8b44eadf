"""What this machine has to offer: taken once per agent start, told in the hello.

Encoders are those that really encoded a frame, tried in a short-lived process: the agent itself never loads a codec.
No answer is not the answer "none": on a busy machine the trial is repeated until it has spoken.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import platform
import random
import shutil
import socket
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil
import structlog
from quarterdeck.v1 import hosts_pb2

from hostagent import netports
from hostagent.backoff import full_jitter_s
from hostagent.gpu import list_gpus

log = structlog.get_logger()
_PROBE_S = 60.0
_RETRY_BASE_S = 2.0
_RETRY_CAP_S = 120.0
_MAX_PROBE_BYTES = 65536


class ProbeFailed(Exception):
    """The probe gave no answer; the message says why."""


async def take_inventory(data_dir: Path, runtimes: Sequence[str]) -> hosts_pb2.Inventory:
    """Everything but addresses and encoders."""
    gpus = await asyncio.to_thread(list_gpus)
    return hosts_pb2.Inventory(
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        disk_free_bytes=shutil.disk_usage(data_dir).free,
        gpus=[
            hosts_pb2.Gpu(index=g.index, model=g.model, memory_bytes=g.memory_bytes, driver_version=g.driver_version)
            for g in gpus
        ],
        runtimes=list(runtimes),
        has_display_server=shutil.which("Xvfb") is not None,
        agent_version=version(),
        operating_system=_operating_system(),
        ephemeral_ports=[hosts_pb2.PortRange(first=first, last=last) for first, last in netports.ephemeral_ranges()],
    )


async def probe_until_answered(command: Sequence[str]) -> list[hosts_pb2.Encoder]:
    """Runs the probe until it answers, each time with more patience."""
    attempt = 0
    while True:
        try:
            return await probe_encoders(command, _PROBE_S * 2 ** min(attempt, 4))
        except ProbeFailed as failure:
            delay_s = full_jitter_s(attempt, _RETRY_BASE_S, _RETRY_CAP_S, random.uniform)
            attempt += 1
            log.warning("encoder probe failed", why=str(failure), attempt=attempt, retry_in_s=round(delay_s, 1))
            await asyncio.sleep(delay_s)


async def probe_encoders(command: Sequence[str], patience_s: float) -> list[hosts_pb2.Encoder]:
    """Runs the probe once and reads its JSON. Raises ProbeFailed."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise ProbeFailed(f"{command[0]} cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(patience_s):
            output, errors = await child.communicate()
    except TimeoutError as error:
        raise ProbeFailed(f"no answer within {patience_s:g} s") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    try:
        encoders = parse_encoders(output)
    except ValueError as error:
        tail = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ProbeFailed(f"exit code {child.returncode}: {error}; it said: {tail[:300]}") from error
    log.info("encoders probed", answer=output.decode().strip()[:1000])
    return encoders


def parse_encoders(output: bytes) -> list[hosts_pb2.Encoder]:
    """The probe's answer, {"encoders": [{"name": "libx264", "slots": 2}, …]}. Raises ValueError."""
    if len(output) > _MAX_PROBE_BYTES:
        raise ValueError("the probe's answer is too long")
    answer = json.loads(output)
    try:
        return [hosts_pb2.Encoder(encoder_name=str(e["name"]), slots=int(e["slots"])) for e in answer["encoders"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"the probe's answer lacks {error}") from error


def local_addresses() -> list[str]:
    """The IP addresses of this machine's interfaces, without loopback and link-local ones; sorted, IPv4 first."""
    found = set()
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(entry.address.partition("%")[0])
                if not (address.is_loopback or address.is_link_local):
                    found.add(address)
    return [str(address) for address in sorted(found, key=lambda a: (a.version, int(a)))]


def version() -> str:
    """Which release this agent is."""
    try:
        return metadata.version("quarterdeck")
    except metadata.PackageNotFoundError:
        return "unknown"


def _operating_system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        name = platform.system()
    return f"{name} ({platform.machine()})"
