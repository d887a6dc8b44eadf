"""One stream towards the control plane, whoever floods it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from quarterdeck.v1 import agent_pb2, streaming_pb2

from hostagent.linkstream import LinkStream
from hostagent.reporting import ReportSchedule


async def test_a_session_that_floods_its_channel_does_not_silence_its_host() -> None:
    signal = agent_pb2.ChannelSignal(channel_id="c", signal=streaming_pb2.Signal())
    beaten = asyncio.Event()

    class Call:
        async def write(self, message: agent_pb2.AgentMessage) -> None:
            if message.HasField("signal"):
                stream._signals.put_nowait(signal)  # as fast as the link takes them
            elif message.HasField("heartbeat"):
                beaten.set()
            await asyncio.sleep(0)

    schedule = ReportSchedule()
    schedule.take(asyncio.get_running_loop().time())
    schedule.acknowledge(1)
    stream = LinkStream(cast(Any, None), cast(Any, None), cast(Any, None), schedule)
    stream._heartbeat_s = 0.01
    stream._signals.put_nowait(signal)
    writing = asyncio.create_task(stream._write(cast(Any, Call())))
    try:
        async with asyncio.timeout(20):
            await beaten.wait()
    finally:
        writing.cancel()
