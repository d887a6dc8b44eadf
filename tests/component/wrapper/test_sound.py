"""What a game sounds like in a real headless Chromium, by WebAudio's own measure; and sessions that are not heard."""

from __future__ import annotations

import os
import shutil
import signal as signals
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Page
from quarterdeck.v1 import games_pb2, wrapper_pb2

from tests.component.wrapper.page import CHROMIUM, HEARD, opened, signal
from tests.component.wrapper.rig import VIEWER, spec, until_gone, wrapper
from tests.component.wrapper.tonegame import LEFT_HZ, RIGHT_HZ
from wrapper.stream.soundserver import SoundDoor, SoundServer

REPOSITORY = Path(__file__).parents[3]
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
on_x = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
by_pulse = pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="PulseAudio is not installed")

# Within one step of the analyser's spectrum.
TUNED = f"""() => {{
  const [left, right] = ({HEARD})();
  return Math.abs(left - {LEFT_HZ}) < 6 && Math.abs(right - {RIGHT_HZ}) < 6;
}}"""
QUIET = f"() => ({HEARD})().every((hertz) => hertz === 0)"
SILENT_NOW = "() => window.messages.at(-1)?.silent"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with opened() as page:
        yield page


def game(module: str, *arguments: str, picture: int = games_pb2.PICTURE_FRAMES) -> wrapper_pb2.SessionSpec:
    path = f"{REPOSITORY}:{REPOSITORY / 'gen'}"
    command: Sequence[str] = (sys.executable, "-P", "-m", f"tests.component.wrapper.{module}", *arguments)
    return spec(command, picture, PYTHONPATH=path)


def sound_servers(directory: Path) -> list[psutil.Process]:
    """The PulseAudio of the session in that directory."""
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):  # gone meanwhile
            its = process.info["name"] == "pulseaudio" and process.environ().get("PULSE_RUNTIME_PATH")
            if its == str(directory):
                found.append(process)
    return found


@in_chromium
async def test_a_game_on_the_sdk_is_heard_left_and_right_and_is_quiet_when_it_is(tmp_path: Path, page: Page) -> None:
    async with wrapper(tmp_path, game("tonegame", "keys")) as process:
        await process.until_running()
        await signal(process, page)
        await page.wait_for_function("window.ears && window.channels.keys?.readyState === 'open'")
        await page.evaluate("window.channels.keys.send(JSON.stringify({t: 'key', n: 1, code: 'KeyX', down: true}))")
        await page.wait_for_function(TUNED)
        await page.wait_for_function("window.messages.some((one) => one.sound_kbps > 20)")
        await page.evaluate("window.channels.keys.send(JSON.stringify({t: 'key', n: 2, code: 'KeyX', down: false}))")
        await page.wait_for_function(QUIET)
        await page.wait_for_function("window.messages.at(-1).sound_kbps === 0")
        await page.evaluate("window.channels.keys.send(JSON.stringify({t: 'key', n: 3, code: 'KeyX', down: true}))")
        await page.wait_for_function(TUNED)
        await process.stop()
        await process.until_exited()


@in_chromium
@on_x
@by_pulse
async def test_a_game_that_knows_pulseaudio_is_heard_and_heard_again_after_that_was_killed(
    tmp_path: Path, page: Page
) -> None:
    async with wrapper(tmp_path, game("xtone", picture=games_pb2.PICTURE_X11)) as process:
        await process.until_running()
        await signal(process, page)
        await page.wait_for_function(TUNED)
        (server,) = sound_servers(tmp_path)
        server.send_signal(signals.SIGKILL)
        await page.wait_for_function("window.messages.some((one) => /was killed by SIGKILL/.test(one.silent))")
        await page.wait_for_function(f"({SILENT_NOW})() === '' && window.messages.some((one) => one.silent)")
        await page.wait_for_function(TUNED)
        assert process.saved_status().state == wrapper_pb2.WORKLOAD_STATE_RUNNING
        (server,) = sound_servers(tmp_path)
        await process.stop()
        await process.until_exited()
        await until_gone(server.pid)
        assert sound_servers(tmp_path) == []


@in_chromium
@pytest.mark.parametrize(("limit", "answer"), [("knowsNoOpus", "m=audio 0 "), ("wantsNoSound", "a=inactive")])
async def test_a_browser_that_takes_no_sound_sees_the_picture(
    tmp_path: Path, page: Page, limit: str, answer: str
) -> None:
    async with wrapper(tmp_path, game("tonegame")) as process:
        await process.until_running()
        await page.evaluate(f"window.{limit} = true")
        await signal(process, page)
        await page.wait_for_function("window.presented >= 10")
        assert answer in await page.evaluate("window.connection.localDescription.sdp")
        await process.stop()
        await process.until_exited()


async def test_who_only_watches_hears_too_and_one_encoding_serves_all(tmp_path: Path) -> None:
    async with wrapper(tmp_path, game("tonegame")) as process:
        await process.until_running()
        async with process.browser() as player, process.browser(VIEWER) as viewer:
            for browser in (player, viewer):
                left, right = await browser.sound(lambda samples: bool(abs(samples).max() > 5000))
                # Of a tone's period the packet may hold less in one ear than in the other.
                assert min(abs(left).max(), abs(right).max()) > 2500
            assert (await player.message("hello"))["silent"] == ""


async def test_a_deployment_that_wants_no_sound_has_none(tmp_path: Path) -> None:
    message = game("tonegame")
    message.deployment.silent = True
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        async with process.browser() as browser:
            assert (await browser.message("hello"))["silent"] == "Its deployment wants no sound."
            assert "m=audio" not in browser.connection.remoteDescription.sdp
            await browser.frame()
        assert not (tmp_path / "audio").exists()


async def test_a_game_on_the_sdk_plays_on_in_silence_where_no_pipe_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "audio").touch()
    async with wrapper(tmp_path, game("tonegame")) as process:
        await process.until_running()
        async with process.browser() as browser:
            assert (await browser.message("hello"))["silent"] == "There is no room for sound: File exists."
            await browser.frame()


@on_x
@by_pulse
async def test_a_session_far_down_in_the_file_system_is_heard_too(tmp_path: Path) -> None:
    far = tmp_path / ("so-far-down-that-no-socket-has-a-name-as-long-as-this-" * 2)
    async with wrapper(far, game("xtone", picture=games_pb2.PICTURE_X11)) as process:
        await process.until_running()
        async with process.browser() as browser:
            await browser.sound(lambda samples: bool(abs(samples).max() > 5000))
        await process.stop()
        await process.until_exited()


async def test_a_host_without_pulseaudio_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    door = SoundDoor()
    server = SoundServer(tmp_path, door)
    assert await server.start() == {}
    assert door == SoundDoor(silent="PulseAudio is not installed on this host.")
    await server.close()
    assert os.listdir(tmp_path) == []
