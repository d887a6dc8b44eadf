"""What this machine has to offer: taken once per agent start, told in the hello.

Encoders are those that really encoded a frame, tried in a short-lived process: the agent itself never loads a codec.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import platform
import shutil
import socket
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil
import structlog
from quarterdeck.v1 import hosts_pb2

from hostagent.gpu import list_gpus

log = structlog.get_logger()
_PROBE_S = 60.0
_MAX_PROBE_BYTES = 65536


async def take_inventory(data_dir: Path, runtimes: Sequence[str], probe_command: Sequence[str]) -> hosts_pb2.Inventory:
    """Everything but addresses. Takes about as long as loading the codecs does."""
    encoders, gpus = await asyncio.gather(probe_encoders(probe_command), asyncio.to_thread(list_gpus))
    return hosts_pb2.Inventory(
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        disk_free_bytes=shutil.disk_usage(data_dir).free,
        gpus=[
            hosts_pb2.Gpu(index=g.index, model=g.model, memory_bytes=g.memory_bytes, driver_version=g.driver_version)
            for g in gpus
        ],
        encoders=encoders,
        runtimes=list(runtimes),
        has_display_server=shutil.which("Xvfb") is not None,
        agent_version=_version(),
        operating_system=_operating_system(),
    )


async def probe_encoders(command: Sequence[str]) -> list[hosts_pb2.Encoder]:
    """Runs the probe and reads its JSON; a failing probe finds no encoder."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_PROBE_S):
            output, errors = await child.communicate()
    except TimeoutError:
        log.warning("encoder probe gave no answer in time")
        return []
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    try:
        encoders = parse_encoders(output)
        log.info("encoders probed", answer=output.decode().strip()[:1000])
        return encoders
    except ValueError as error:
        tail = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        log.warning("encoder probe failed", exit_code=child.returncode, why=str(error), said=tail[:300])
        return []


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


def _version() -> str:
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
