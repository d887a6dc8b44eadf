"""A real wrapper streaming the real demo game to browsers made of aiortc."""

import asyncio
import os
import shutil
import signal
import socket
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from quarterdeck.v1 import games_pb2, sessions_pb2, streaming_pb2, wrapper_pb2

from tests.component.wrapper.rig import (
    PLAYER,
    VIEWER,
    Browser,
    alive,
    brightness,
    marks,
    spec,
    until_gone,
    wrapper,
)
from tests.ports import free_port
from tests.spooled import said

CLOCK = {"QUARTERDECK_PIXEL_CLOCK": "1"}


async def test_a_player_sees_the_game_and_the_game_sees_the_player(tmp_path: Path) -> None:
    async with wrapper(tmp_path, spec(**CLOCK)) as process:
        running = await process.until_running()
        assert running.first_frame_after.ToMilliseconds() > running.game_started_after.ToMilliseconds() > 0
        async with process.browser() as browser:
            hello = await browser.message("hello")
            picture = {"width": 640, "height": 360, "fps": 15}
            assert hello == {"t": "hello", "role": "player", **picture, "gamepad": True, "silent": ""}
            first = await browser.frame()
            assert (first.width, first.height) == (640, 360)
            assert marks(first)[1] == 0
            early, _ = marks(first)
            later, _ = marks(await browser.frame(lambda frame: marks(frame)[0] > early))
            assert later - early < 30_000
            browser.press("Space")
            await browser.frame(lambda frame: marks(frame)[1] == 1)
            browser.send(t="ping")
            assert await browser.message("pong") == {"t": "pong", "n": 3}
            figures = await browser.message("figures")
            assert figures["encoder"] in ("libx264", "h264_nvenc")
            assert figures["encoded_fps"] > 0
            status = await process.until(lambda status: status.stream.players == 1 and status.stream.bitrate_kbps > 0)
            assert status.stream.encoder_name == figures["encoder"]
            await process.stop()
            assert (await browser.signals.read()).signal.close.reason == "the session is over"
        assert (await process.until_exited()).exit_code == 0


async def test_steering_moves_the_ship(tmp_path: Path) -> None:
    async with wrapper(tmp_path, spec()) as process:
        await process.until_running()
        async with process.browser() as browser:
            # Where its white sails stand at the far left of its way; open sea as long as it is elsewhere.
            harbour = np.s_[232:250, 38:58]
            empty = brightness(await browser.frame())[harbour]
            browser.send(t="key", code="ArrowLeft", down=True)
            await browser.frame(lambda frame: np.abs(brightness(frame)[harbour] - empty).mean() > 60)
            browser.send(t="release")
            browser.send(t="pad", index=0, axes=[1.0, 0.0], buttons=[0, 0])
            await browser.frame(lambda frame: np.abs(brightness(frame)[harbour] - empty).mean() < 15)


async def test_a_lost_picture_is_answered_with_a_keyframe(tmp_path: Path) -> None:
    async with wrapper(tmp_path, spec(**CLOCK)) as process:
        await process.until_running()
        async with process.browser() as browser:
            assert (await browser.frame()).key_frame
            await browser.frame(lambda frame: not frame.key_frame)
            receiver = browser.connection.getReceivers()[0]
            (ssrc,) = receiver._RTCRtpReceiver__remote_streams.keys()
            await receiver._send_rtcp_pli(ssrc)
            before = 0
            async with asyncio.timeout(60):
                # The encoder's own come every ten seconds.
                while not (await browser.frame()).key_frame:
                    before += 1
            assert before < 60


async def test_two_players_and_a_viewer_share_one_port(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    message = spec(**CLOCK)
    message.ports[0].host_port = port
    message.advertised_addresses.append("198.51.100.7")
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        async with process.browser(PLAYER) as one, process.browser(PLAYER) as two, process.browser(VIEWER) as three:
            offer = one.connection.remoteDescription.sdp
            assert f"198.51.100.7 {port} typ host" in offer
            assert f"127.0.0.1 {port} typ host" in offer
            for browser in (one, two, three):
                await browser.frame()
            three.press("Space")
            three.send(t="ping")
            await three.message("pong")
            two.press("Space")
            one.press("KeyW")
            for browser in (one, two, three):
                # Two presses, not three: the viewer's came first and counts for nothing.
                await browser.frame(lambda frame: marks(frame)[1] >= 2)
            status = await process.until(lambda status: status.stream.players == 2)
            assert status.stream.viewers == 1
            assert marks(await three.frame())[1] == 2


async def test_a_player_comes_back_while_the_old_connection_is_dying(tmp_path: Path) -> None:
    async with wrapper(tmp_path, spec(**CLOCK)) as process:
        await process.until_running()
        lost = Browser()
        await lost.connect(process.stub, PLAYER)
        await lost.frame()
        lost.send(t="key", code="ArrowLeft", down=True)
        await lost.frame(lambda frame: marks(frame)[1] == 1)
        # The browser is gone without a word, as when a laptop sleeps.
        for transport in _sockets(lost):
            transport.abort()
        async with process.browser() as browser:
            await browser.frame()
            browser.press("Space")
            await browser.frame(lambda frame: marks(frame)[1] == 2)
            # The dead one is noticed by its silence, and what it held is let go.
            await process.until(lambda status: status.stream.players == 1)
        await lost.close()


async def test_lost_packets_are_sent_again(tmp_path: Path) -> None:
    async with wrapper(tmp_path, spec(**CLOCK)) as process:
        await process.until_running()
        async with process.browser() as browser:
            await browser.frame()
            dropped = _lose_every(browser, 15)
            early, _ = marks(await browser.frame())
            # Three seconds of pictures, of which hardly one in two would be whole without repair.
            async with asyncio.timeout(60):
                while marks(await browser.frame())[0] - early < 3000:
                    pass
            assert dropped[0] > 0
            browser.press("Space")
            await browser.frame(lambda frame: marks(frame)[1] == 1)


def _lose_every(browser: Browser, nth: int) -> list[int]:
    """From now on every nth media packet is lost on its way in; the count is in the list."""
    seen, dropped = [0], [0]
    transport = browser.connection.getReceivers()[0].transport
    take = transport._handle_rtp_data

    async def lossy(data: bytes, arrival_time_ms: int) -> None:
        seen[0] += 1
        if seen[0] % nth == 0:
            dropped[0] += 1
            return
        await take(data, arrival_time_ms=arrival_time_ms)

    transport._handle_rtp_data = lossy
    return dropped


def _sockets(browser: Browser) -> list[asyncio.DatagramTransport]:
    connection = browser.connection.getReceivers()[0].transport.transport._connection
    return [protocol.transport for protocol in connection._protocols]


async def test_media_needs_neither_signalling_nor_agent(tmp_path: Path) -> None:
    async with wrapper(tmp_path, spec(**CLOCK)) as process:
        await process.until_running()
        async with process.browser() as browser:
            await browser.frame()
            assert browser.signals is not None
            browser.signals.cancel()
            browser.press("Space")
            await browser.frame(lambda frame: marks(frame)[1] == 1)


async def test_signalling_refuses_what_is_no_answer(tmp_path: Path) -> None:
    async with wrapper(tmp_path, spec()) as process:
        await process.until_running()
        silent = process.stub.Signal(iter([wrapper_pb2.WrapperSignalRequest(signal=streaming_pb2.Signal())]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await silent.read()
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        for kind, sdp in (("answer", "v=0\r\nnonsense"), ("offer", "v=0"), ("answer", "")):
            call = process.stub.Signal()
            await call.write(wrapper_pb2.WrapperSignalRequest(open=wrapper_pb2.SignalOpen(role=PLAYER)))
            assert (await call.read()).signal.description.type == "offer"
            description = streaming_pb2.SessionDescription(type=kind, sdp=sdp)
            await call.write(wrapper_pb2.WrapperSignalRequest(signal=streaming_pb2.Signal(description=description)))
            assert (await call.read()).signal.close.reason
        async with process.browser() as browser:
            await browser.frame()


async def test_a_deserted_session_ends_and_a_played_one_does_not(tmp_path: Path) -> None:
    message = spec()
    message.limits.disconnect_timeout.FromSeconds(5)
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        async with process.browser() as browser:
            for _ in range(6):
                await browser.message("figures")
            assert process.saved_status().state == wrapper_pb2.WORKLOAD_STATE_RUNNING
        assert (await process.until_exited()).reason == sessions_pb2.SESSION_REASON_DISCONNECTED


async def test_an_idle_session_ends(tmp_path: Path) -> None:
    message = spec()
    message.limits.idle_timeout.FromSeconds(6)
    async with wrapper(tmp_path, message) as process, process.browser_when_running() as browser:
        assert (await process.until_exited()).reason == sessions_pb2.SESSION_REASON_IDLE
        assert (await browser.signals.read()).signal.close.reason == "the session is over"


async def test_a_killed_wrapper_takes_the_drawing_game_along(tmp_path: Path) -> None:
    async with wrapper(tmp_path, spec()) as process:
        running = await process.until_running()
        assert alive(running.game_pid)
        process.process.kill()
        await until_gone(running.game_pid)


async def test_a_taken_media_port_is_a_failed_start(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        message = spec()
        message.ports[0].host_port = taken.getsockname()[1]
        async with wrapper(tmp_path, message) as process:
            status = await process.until_exited()
            assert status.reason == sessions_pb2.SESSION_REASON_PORT_TAKEN
            assert "media port" in status.reason_detail


async def test_a_game_that_draws_nothing_is_a_failed_start(tmp_path: Path) -> None:
    message = spec(("sleep", "600"))
    message.deployment.readiness.stays_up.FromSeconds(1)
    message.deployment.readiness.timeout.FromSeconds(3)
    async with wrapper(tmp_path, message) as process:
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_START_FAILED
        assert "no picture" in status.reason_detail


async def test_a_game_that_cuts_its_frames_file_is_named_and_outlived_by_its_wrapper(tmp_path: Path) -> None:
    cutting = (
        "import os, time; from wrapper import sdk; deck = sdk.connect(); deck.begin(); deck.publish(); deck.wait(60);"
        "os.truncate(os.environ['QUARTERDECK_FRAMES'], 0); time.sleep(60)"
    )
    async with wrapper(tmp_path, spec(("python", "-c", cutting))) as process, process.browser_when_running() as browser:
        browser.press("Space")
        exited = await process.until_exited()
    assert exited.reason == sessions_pb2.SESSION_REASON_GAME_CRASHED
    assert exited.reason_detail.startswith("The stream broke: the game cut its frames file")


def displays(session_dir: Path) -> list[int]:
    """The process of its X server."""
    authority = str(session_dir / "Xauthority")
    commands = [(process.pid, process.info["cmdline"] or [""]) for process in psutil.process_iter(["cmdline"])]
    return [pid for pid, words in commands if words[0].endswith("Xvfb") and authority in words]


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
async def test_an_x_game_is_seen_and_takes_input(tmp_path: Path) -> None:
    message = spec(("python", str(Path(__file__).with_name("xgame.py"))), games_pb2.PICTURE_X11)
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        assert len(displays(tmp_path)) == 1
        async with process.browser() as browser:
            assert (await browser.message("hello"))["gamepad"] is False
            await browser.frame(lambda frame: brightness(frame).mean() < 30)
            browser.send("mouse", t="point", x=0.25, y=0.5)
            await browser.frame(lambda frame: brightness(frame)[162:168, 142:148].mean() > 200)
            browser.send("mouse", t="move", dx=320, dy=0)
            await browser.frame(lambda frame: brightness(frame)[162:168, 462:468].mean() > 200)
            browser.send(t="key", code="KeyW", down=True)
            await browser.frame(lambda frame: brightness(frame)[20:100, 20:620].mean() > 200)
            browser.send(t="release")
            await browser.frame(lambda frame: brightness(frame)[20:100, 20:620].mean() < 30)
            browser.send(t="button", button=2, down=True, x=0.1, y=0.1)
            await browser.frame(lambda frame: brightness(frame)[200:300, 20:620].mean() > 200)
            browser.send(t="wheel", dx=0, dy=-100)
            async with asyncio.timeout(60):
                # X counts wheel clicks as buttons: up is 4. And its button 3 is the right one.
                while "button 4" not in (log := said(tmp_path)):
                    await asyncio.sleep(0.05)
            assert "button 3" in log
        await process.stop()
        assert (await process.until_exited()).reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED
        assert displays(tmp_path) == []


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
async def test_a_display_that_dies_ends_the_session(tmp_path: Path) -> None:
    message = spec(("python", str(Path(__file__).with_name("xgame.py"))), games_pb2.PICTURE_X11)
    async with wrapper(tmp_path, message) as process:
        running = await process.until_running()
        (server,) = displays(tmp_path)
        os.kill(server, signal.SIGKILL)
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_GAME_CRASHED
        assert not alive(running.game_pid)
