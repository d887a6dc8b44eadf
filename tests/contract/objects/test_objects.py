"""What every object store keeps: whole objects or none, in order, by keys that are no paths."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from controlplane.adapters.objects import open_objects
from controlplane.adapters.objects.bucket import PART_BYTES, PIECE_BYTES, Bucket
from controlplane.domain.errors import Conflict, Exhausted, InvalidRequest, NotFound, Unavailable
from tests.contract.objects.conftest import BUCKET, S3Server, s3_server
from tests.small_disk import small_disk


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def put(objects: Bucket, key: str, *content: bytes) -> int:
    return await objects.put(key, pieces(*content))


async def read(objects: Bucket, key: str, offset: int = 0, length: int | None = None) -> bytes:
    return b"".join([piece async for piece in objects.get(key, offset, length)])


async def test_what_was_put_is_got_whole_or_in_part(objects: Bucket) -> None:
    assert await put(objects, "logs/a", b"one ", b"", b"two") == 7
    assert await read(objects, "logs/a") == b"one two"
    assert await read(objects, "logs/a", 4) == b"two"
    assert await read(objects, "logs/a", 1, 3) == b"ne "
    assert await read(objects, "logs/a", 4, 100) == b"two"
    assert await read(objects, "logs/a", 7) == await read(objects, "logs/a", 50) == b""
    assert await objects.list("") == ["logs/a"]


async def test_an_empty_object_is_one_too(objects: Bucket) -> None:
    assert await put(objects, "empty") == 0
    assert await read(objects, "empty") == b""
    assert await objects.list("") == ["empty"]


async def test_what_is_larger_than_one_request_arrives_whole(objects: Bucket) -> None:
    blocks = [bytes([number]) * 1_500_000 for number in range(20)]
    assert sum(map(len, blocks)) > 3 * PART_BYTES
    assert await put(objects, "big", *blocks) == 30_000_000
    assert await read(objects, "big") == b"".join(blocks)
    assert await read(objects, "big", PIECE_BYTES - 3, 6) == b"".join(blocks)[PIECE_BYTES - 3 : PIECE_BYTES + 3]


async def test_the_newer_object_replaces_the_older_as_a_whole(objects: Bucket) -> None:
    await put(objects, "a", b"old and long")
    await put(objects, "a", b"new")
    assert await read(objects, "a") == b"new"


@pytest.mark.parametrize("blocks", [1, 9], ids=["small", "large"])
async def test_a_source_that_breaks_leaves_nothing_and_says_why(objects: Bucket, blocks: int) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        for _ in range(blocks):
            yield b"x" * 2_000_000
        raise ConnectionError("the host has gone")

    with pytest.raises(ConnectionError, match="the host has gone"):
        await objects.put("half", breaking())
    assert await objects.list("") == []


async def test_a_put_that_is_cancelled_leaves_nothing(objects: Bucket) -> None:
    asked = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x" * (PART_BYTES + 1)
        asked.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(objects.put("half", stuck()))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await objects.list("") == []


async def test_lists_are_in_order_below_whole_segments_and_by_pages(objects: Bucket) -> None:
    for number in (7, 3, 9, 1, 5):
        await put(objects, f"logs/s-1/{number}", b"x" * number)
    await put(objects, "logs/s-10/1", b"x")
    assert await objects.list("logs/s-1", limit=2) == ["logs/s-1/1", "logs/s-1/3"]
    assert await objects.list("logs/s-1", after="logs/s-1/3") == ["logs/s-1/5", "logs/s-1/7", "logs/s-1/9"]
    assert await objects.list("logs/s-1", after="logs/s-1/9") == []
    assert len(await objects.list("")) == 6


async def test_what_is_deleted_is_gone_and_deleting_it_again_is_fine(objects: Bucket) -> None:
    await put(objects, "a", b"1")
    await put(objects, "b", b"2")
    await objects.delete(["a", "never"])
    await objects.delete(["a"])
    await objects.delete([])
    assert await objects.list("") == ["b"]
    with pytest.raises(NotFound):
        await read(objects, "a")


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", ".hidden", "A", "a b", "a\n", "a%2f", "a#1", "x" * 129]
)
async def test_a_key_is_never_a_path(objects: Bucket, key: str) -> None:
    with pytest.raises(InvalidRequest):
        await put(objects, key, b"1")
    with pytest.raises(InvalidRequest):
        await read(objects, key)
    with pytest.raises(InvalidRequest):
        await objects.delete([key])
    assert await objects.list("") == []


async def test_a_reader_never_gets_two_halves_of_different_objects(objects: Bucket) -> None:
    await put(objects, "a", b"x" * (PIECE_BYTES + 1))
    reading = objects.get("a")
    await anext(reading)
    await put(objects, "a", b"y" * (PIECE_BYTES + 2))
    with pytest.raises(Conflict):
        await anext(reading)


async def test_only_s3_gives_urls_to_others_and_they_work(objects: Bucket, request: pytest.FixtureRequest) -> None:
    await put(objects, "saves/a", b"content")
    url = await objects.url("saves/a", 60)
    if "s3" not in request.node.callspec.params["objects"]:
        assert url is None
        return
    assert url is not None
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"content"


async def test_nothing_half_written_is_seen_in_a_directory(tmp_path: Path) -> None:
    bucket = open_objects((tmp_path / "objects").as_uri())
    seen: list[Sequence[str]] = []

    async def watched() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * PART_BYTES
            seen.append(await bucket.list(""))

    await bucket.put("a/b", watched())
    assert seen == [[]] * 4
    assert (tmp_path / "objects").stat().st_mode & 0o077 == 0
    await bucket.close()


async def test_a_full_disk_is_told_with_its_remedy_and_what_was_there_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        bucket = open_objects(disk.as_uri())
        await put(bucket, "a", b"1" * 500_000)
        with pytest.raises(Exhausted, match="full: make room"):
            await put(bucket, "b", b"2" * 600_000)
        with pytest.raises(Exhausted):
            await put(bucket, "c", *[b"3" * 1_000_000] * 12)
        assert await bucket.list("") == ["a"]
        assert await read(bucket, "a") == b"1" * 500_000
        await bucket.delete(["a"])
        assert await put(bucket, "b", b"2" * 600_000) == 600_000
        await bucket.close()


async def test_a_dead_s3_is_unavailable_and_no_secret_is_told(tmp_path: Path, s3_credentials: None) -> None:
    with s3_server(tmp_path) as server:
        bucket = open_objects(f"s3://{BUCKET}/x", server.endpoint)
        await put(bucket, "a", b"1")
        server.kill()
        for call in (put(bucket, "a", b"2"), bucket.list(""), bucket.delete(["a"])):
            with pytest.raises(Unavailable) as refused:
                await call
            assert "s3cret-of-s3" not in str(refused.value)
        server.start()
        assert await put(bucket, "a", b"2") == 1
        await bucket.close()


async def test_a_bucket_that_is_missing_is_unavailable_not_a_missing_object(s3: S3Server, s3_credentials: None) -> None:
    bucket = open_objects("s3://no-such-bucket", s3.endpoint)
    with pytest.raises(Unavailable):
        await put(bucket, "a", b"1")
    await bucket.close()


async def test_a_broken_upload_leaves_no_parts_to_pay_for(s3: S3Server, s3_credentials: None) -> None:
    bucket = open_objects(f"s3://{BUCKET}/parts", s3.endpoint)

    async def breaking() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * PART_BYTES
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await bucket.put("half", breaking())
    assert "Uploads" not in s3.client().list_multipart_uploads(Bucket=BUCKET)
    await bucket.close()


def test_a_directory_that_cannot_be_made_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="QUARTERDECK_OBJECTS_URL"):
        open_objects((tmp_path / "file" / "objects").as_uri())
    assert os.listdir(tmp_path) == ["file"]


async def test_what_a_dead_process_left_half_written_goes_a_day_later(tmp_path: Path) -> None:
    bucket = open_objects((tmp_path / "objects").as_uri())
    await put(bucket, "a/b", b"whole")
    left, fresh = tmp_path / "objects/a/c#1", tmp_path / "objects/a/d#1"
    for path in (left, fresh):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert await bucket.list("") == ["a/b"]
    await bucket.close()
    again = open_objects((tmp_path / "objects").as_uri())
    async with asyncio.timeout(20):
        while left.exists():
            await asyncio.sleep(0.01)
    assert fresh.exists()
    assert await read(again, "a/b") == b"whole"
    await again.close()
