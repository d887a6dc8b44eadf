"""Server streams: each message at once, both forms, errors, and cancellation when the client leaves."""

import asyncio
import json

SSE = {"accept": "text/event-stream"}


async def test_newline_delimited_json(gateway):
    answer = await gateway.client.get("/v1/ticks/3")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == [{"number": n} for n in (1, 2, 3)]


async def test_server_sent_events(gateway):
    answer = await gateway.client.get("/v1/ticks/2", headers=SSE)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text == 'data: {"number":1}\n\ndata: {"number":2}\n\nevent: end\ndata: {}\n\n'


async def test_a_message_comes_before_the_next_one_exists(gateway):
    async with gateway.client.stream("GET", "/v1/ticks/2?hold=true") as answer:
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines)) == {"number": 1}
        assert json.loads(await anext(lines)) == {"number": 2}
        assert not gateway.library.go_on.is_set()
        gateway.library.go_on.set()
        assert [line async for line in lines] == []


async def test_an_empty_stream_is_a_success(gateway):
    answer = await gateway.client.get("/v1/ticks/0")
    assert (answer.status_code, answer.text) == (200, "")


async def test_an_error_before_the_first_message_keeps_its_status(gateway):
    answer = await gateway.client.get("/v1/ticks/0?fail=true")
    assert (answer.status_code, answer.json()["message"]) == (500, "the clock broke")


async def test_an_error_after_the_first_message_ends_the_stream_in_words(gateway):
    lines = (await gateway.client.get("/v1/ticks/1?fail=true")).text.splitlines()
    assert json.loads(lines[-1]) == {"error": {"code": 15, "message": "the clock broke", "details": []}}
    events = (await gateway.client.get("/v1/ticks/1?fail=true", headers=SSE)).text
    assert events.endswith('event: error\ndata: {"code":15,"message":"the clock broke","details":[]}\n\n')


async def test_a_quiet_stream_starts_and_says_that_it_lives(gateway):
    async with gateway.client.stream("GET", "/v1/ticks/1?late=true", headers=SSE) as answer:
        assert answer.status_code == 200
        chunks = answer.aiter_text()
        assert await anext(chunks) == ":\n\n"
        gateway.library.go_on.set()
        assert 'data: {"number":1}' in "".join([chunk async for chunk in chunks])


async def test_a_stream_has_a_deadline_only_where_the_client_sets_one(gateway):
    lines = (await gateway.client.get("/v1/ticks/1?hold=true", headers={"grpc-timeout": "1S"})).text.splitlines()
    assert json.loads(lines[-1])["error"]["code"] == 4


async def test_the_call_is_cancelled_when_the_client_leaves_a_stream(gateway):
    async with gateway.client.stream("GET", "/v1/ticks/1?hold=true") as answer:
        assert await anext(answer.aiter_lines())
    async with asyncio.timeout(30):
        await gateway.library.cancelled.wait()


async def test_the_call_is_cancelled_when_the_client_leaves_a_unary_call(gateway):
    call = asyncio.create_task(gateway.client.get("/v1/hang"))
    async with asyncio.timeout(30):
        await gateway.library.entered.wait()
        call.cancel()
        await gateway.library.cancelled.wait()


async def test_a_client_that_reads_nothing_holds_the_server_back(gateway):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    writer.write(b"GET /v1/ticks/300000?hold=true HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    other = await gateway.client.get("/v1/ticks/3")  # others are served on
    assert other.status_code == 200
    assert not gateway.library.entered.is_set()  # 4 MB are on their way, and no more of them are made
    writer.transport.abort()
    async with asyncio.timeout(30):
        await gateway.library.cancelled.wait()
