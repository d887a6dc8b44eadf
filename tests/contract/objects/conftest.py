"""The stores under test: memory, a local directory, and S3 over its real wire format."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controlplane.adapters.objects import open_objects
from controlplane.adapters.objects.bucket import Bucket
from tests.s3 import BUCKET, CREDENTIALS, S3Server, s3_server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["memory", "local", "s3"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bucket]:
    if request.param == "memory":
        bucket = open_objects("memory:///")
    elif request.param == "local":
        bucket = open_objects((tmp_path / "objects").as_uri())
    else:
        request.getfixturevalue("s3_credentials")
        server: S3Server = request.getfixturevalue("s3")
        bucket = open_objects(f"s3://{BUCKET}/{tmp_path.name.replace('_', '-')}", server.endpoint)
    yield bucket
    await bucket.close()
