"""The pages' pure modules, run where they live: in the browser."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from quarterdeck.v1 import backups_pb2, hosts_pb2, ports_pb2, replacements_pb2, sessions_pb2, vms_pb2

from tests.e2e.stub import Stub, serving

# One event loop for all: the browser, which takes long to start, is shared.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with serving(Stub()) as stub:
        page = await browser.new_page()
        await page.goto(f"{stub.url}/mark.svg")
        yield page
        await page.close()


async def call(page: Page, module: str, expression: str, argument: Any = None) -> Any:
    """`expression` is JavaScript over the module `m` and the argument `a`."""
    return await page.evaluate(
        f"async (a) => {{ const m = await import('/{module}.js'); return {expression}; }}", argument
    )


@pytest.mark.parametrize(
    ("address", "means"),
    [
        ("", {"page": "fleet"}),
        ("#/", {"page": "fleet"}),
        ("#/play/abc-1", {"page": "play", "id": "abc-1"}),
        ("#/console/abc-1", {"page": "console", "id": "abc-1"}),
        ("#/sessions", {"page": "sessions"}),
        ("#/sessions/abc-1", {"page": "sessions", "id": "abc-1"}),
        ("#/vms", {"page": "unknown"}),
        ("#/vms/abc/more", {"page": "unknown"}),
        ("#/signin/s3cret/vms/abc", {"page": "signin", "code": "s3cret", "next": "#/vms/abc"}),
        ("#/signin/s3cret/dead-letters", {"page": "signin", "code": "s3cret", "next": "#/dead-letters"}),
        ("#/signin/s3cret/signin/again", {"page": "signin", "code": "s3cret", "next": "#/"}),
        ("#/play/../x", {"page": "unknown"}),
        ("#/play/UPPER", {"page": "unknown"}),
        ("#/signin/s3cret", {"page": "signin", "code": "s3cret", "next": "#/"}),
        ("#/signin/s3cret/play/abc", {"page": "signin", "code": "s3cret", "next": "#/play/abc"}),
        ("#/signin/s3cret/console/abc", {"page": "signin", "code": "s3cret", "next": "#/console/abc"}),
        ("#/signin/s3cret/https://elsewhere.example", {"page": "signin", "code": "s3cret", "next": "#/"}),
        ("#/play/%", {"page": "unknown"}),
    ],
)
async def test_an_address_means_a_page_and_leads_nowhere_else(page: Page, address: str, means: dict[str, str]) -> None:
    assert await call(page, "router", "m.parse(a)", address) == means


async def test_events_survive_any_cut_of_the_stream(page: Page) -> None:
    text = ':\n\ndata: {"a":1}\r\n\r\nevent: error\ndata: x\ndata:y\n\nid: 4\ndata: z\n\n'
    wanted = [
        {"type": "message", "data": '{"a":1}'},
        {"type": "error", "data": "x\ny"},
        {"type": "message", "data": "z"},
    ]
    whole = "(() => { const got = []; const feed = m.parser((e) => got.push(e)); a.forEach(feed); return got; })()"
    for at in range(len(text)):
        assert await call(page, "sse", whole, [text[:at], text[at:]]) == wanted, at
    assert await call(page, "sse", whole, list(text)) == wanted


async def test_backoff_doubles_up_to_its_ceiling_and_is_jittered(page: Page) -> None:
    full = await call(page, "backoff", "[0,1,2,3,4,5,99].map((n) => m.backoffMs(n, 1))")
    half = await call(page, "backoff", "[0,1,2,3,4,5,99].map((n) => m.backoffMs(n, 0))")
    assert full == [250, 500, 1000, 2000, 4000, 5000, 5000]
    assert half == [one / 2 for one in full]


@pytest.mark.parametrize(
    ("facts", "ends"),
    [
        ({}, False),
        ({"connection": "failed"}, True),
        ({"connection": "closed", "pictureUp": True}, True),
        ({"connection": "connecting", "socketOpen": False}, True),
        ({"connection": "connected", "socketOpen": False}, False),
        ({"connection": "connected", "socketOpen": False, "pictureUp": True, "sinceStartMs": 1e9}, False),
        ({"connection": "connected", "sinceStartMs": 16_000}, True),
        ({"connection": "disconnected", "pictureUp": True, "sinceDisconnectedMs": 3_000}, False),
        ({"connection": "disconnected", "pictureUp": True, "sinceDisconnectedMs": 7_000}, True),
    ],
)
async def test_a_peer_is_given_up_only_for_what_concerns_the_media(
    page: Page, facts: dict[str, Any], ends: bool
) -> None:
    fresh = {
        "connection": "new", "socketOpen": True, "pictureUp": False, "closeReason": "",
        "sinceStartMs": 0, "sinceDisconnectedMs": 0,
    }  # fmt: skip
    assert bool(await call(page, "player/rules", "m.giveUp(a)", fresh | facts)) is ends


async def test_insisting_ends_with_an_answer_a_final_refusal_or_the_page(page: Page) -> None:
    script = """(async () => {
      let tries = 0;
      const failing = (status) => () => { tries += 1; if (tries < 3) throw new m.ApiError(status); return "done"; };
      const open = new AbortController();
      const answered = await m.insist(failing(503), () => {}, open.signal);
      const triesUntilAnswer = tries;
      tries = 0;
      const refused = await m.insist(failing(404), () => {}, open.signal).catch((error) => error.status);
      tries = -1e9;
      const left = m.insist(failing(0), () => open.abort(), open.signal);
      return [answered, triesUntilAnswer, refused, await left];
    })()"""
    assert await call(page, "api", f"await {script}") == ["done", 3, 404, None]


async def test_a_point_of_the_page_is_a_point_of_the_letterboxed_picture(page: Page) -> None:
    square = {"left": 10, "top": 20, "width": 800, "height": 800}
    box = await call(page, "player/geometry", "m.pictureBox(a, 1600, 900)", square)
    assert box == {"left": 10, "top": 195, "width": 800, "height": 450, "scale": 2}
    place = "[[410, 420], [0, 0], [5000, 5000]].map(([clientX, clientY]) => m.placeIn(a, {clientX, clientY}))"
    assert await call(page, "player/geometry", place, box) == [
        {"x": 0.5, "y": 0.5}, {"x": 0, "y": 0}, {"x": 1, "y": 1},
    ]  # fmt: skip


async def test_a_gamepad_is_told_of_only_when_it_changes(page: Page) -> None:
    pad = "m.padMessage({index: 0, axes: a, buttons: [{value: 0}, {value: 1}]})"
    message = await call(page, "player/gamepad", pad, [0.01, -0.5004])
    assert message == {"t": "pad", "index": 0, "axes": [0, -0.5], "buttons": [0, 1]}
    rest = {"axes": [0, 0], "buttons": [0, 0]}
    assert await call(page, "player/gamepad", "m.changed(undefined, a)", rest) is False
    assert await call(page, "player/gamepad", "m.changed(a, a)", message) is False
    assert await call(page, "player/gamepad", "m.changed(a, {axes: [0, 0], buttons: [0, 1]})", message) is True


async def test_rates_come_from_two_samples(page: Page) -> None:
    before = {"at": 1000, "decoded": 30, "bytes": 0, "decodeS": 0.1, "bufferS": 0.3, "emitted": 30}
    after = {"at": 3000, "decoded": 90, "bytes": 1_000_000, "decodeS": 0.22, "bufferS": 0.36, "emitted": 90}
    samples = [before, after | {"dropped": 2, "lost": 1}]
    figures = await call(page, "player/figures", "m.figuresFrom(a[0], a[1])", samples)
    assert figures["decodedFps"] == 30
    assert figures["bitrateKbps"] == 4000
    assert figures["decodeMs"] == pytest.approx(2)
    assert figures["jitterBufferMs"] == pytest.approx(1)
    assert (figures["dropped"], figures["packetsLost"]) == (2, 1)
    assert await call(page, "player/figures", "m.figuresFrom(a[0], a[0])", samples) is None


async def test_stages_show_how_far_a_session_has_come(page: Page) -> None:
    session = {
        "createTime": "2026-01-01T00:00:00Z",
        "stages": {"allocatedTime": "2026-01-01T00:00:00.020Z", "gameStartedTime": "2026-01-01T00:00:00.300Z"},
    }
    steps = await call(page, "stages", "m.stagesOf(a)", session)
    assert [(step["label"], step["reached"], step["afterMs"]) for step in steps] == [
        ("Asked", True, 0),
        ("VM allocated", True, 20),
        ("Image ready", True, None),
        ("Game started", True, 300),
        ("First frame", False, None),
        ("Picture here", False, None),
    ]
    assert [step["label"] for step in steps if step["current"]] == ["First frame"]


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        ("m.duration(0.44)", "0.4 s"),
        ("m.duration(192.4)", "3 min 12 s"),
        ("m.duration(7500)", "2 h 05 min"),
        ("m.ago(0)", "just now"),
        ("m.ago(3700)", "1 h ago"),
        ("m.milliseconds(1250)", "1.25 s"),
        ("m.word('VM_STATE_IN_USE')", "In use"),
        ("m.word('SESSION_REASON_UNSPECIFIED')", ""),
        ("m.because('SESSION_REASON_IDLE')", "nobody played for too long"),
        ("m.idOf('sessions/abc')", "abc"),
        ("m.seconds('12.5s')", 12.5),
        ("m.seconds('')", 0),
        ("m.span(900)", "15 min"),
        ("m.span(14400)", "4 h"),
        ("m.span(5430)", "1 h 30 min"),
        ("m.size('0')", "0 B"),
        ("m.size('1536')", "1.5 KiB"),
        ("m.size(300 * 2 ** 20)", "300 MiB"),
        ("m.money('2500000', 'USD')", "2.50 USD"),
        ("m.money('1200', 'EUR')", "0.0012 EUR"),
        ("m.money()", "0.00"),
        ("m.plural(1, 'file')", "1 file"),
        ("m.plural(2, 'is', 'are')", "2 are"),
        ("m.clock('2026-03-01T10:00:00', Date.parse('2026-03-01T12:00:00'))", "10:00:00"),
        ("m.clock('2026-03-01T10:00:00', Date.parse('2026-04-01T12:00:00'))", "1 Mar, 10:00:00"),
        ("m.clock('2025-03-01T10:00:00', Date.parse('2026-04-01T12:00:00'))", "1 Mar 2025, 10:00:00"),
        ("m.gibibytes(String(24 * 2 ** 30))", "24 GiB"),
    ],
)
async def test_figures_read_well(page: Page, expression: str, reads: Any) -> None:
    assert await call(page, "format", expression) == reads


async def test_every_state_and_reason_of_the_protos_has_a_tone_or_a_sentence(page: Page) -> None:
    reasons = [
        name for name in sessions_pb2.SessionReason.DESCRIPTOR.values_by_name if not name.endswith("_UNSPECIFIED")
    ]
    sentences = await call(page, "format", "a.map((one) => m.because(one))", reasons)
    assert all(sentences), dict(zip(reasons, sentences, strict=True))
    enums = [vms_pb2.VmState, hosts_pb2.HostState, sessions_pb2.SessionState, backups_pb2.BackupState]
    states = [
        name
        for enum in (*enums, ports_pb2.PortState, replacements_pb2.ReplacementState)
        for name in enum.DESCRIPTOR.values_by_name
        if not name.endswith(("_UNSPECIFIED", "_TEMPLATE"))
    ]
    known = await call(page, "format", "a.filter((one) => one in m.TONES)", states)
    assert known == states


async def test_a_console_keeps_its_newest_lines_and_says_how_many_are_gone(page: Page) -> None:
    outputs = [{"lines": [{"sequence": "8", "text": "eight"}], "missed": "7"}, {"lines": []}]
    outputs += [{"lines": [{"sequence": str(n), "text": "x"} for n in range(9, 2010)], "missed": "0"}]
    kept = await call(page, "scrollback", "a.reduce(m.append, m.EMPTY)", outputs)
    assert (len(kept["lines"]), kept["sequence"], kept["gone"]) == (2000, 2009, 9)


async def test_typed_lines_come_back_with_the_arrow_keys(page: Page) -> None:
    typed = "(seen, step) => [...seen, m.recall(['one', 'two'], seen.at(-1)?.at ?? 2, step)]"
    steps = f"a.reduce({typed}, []).map((found) => found.text)"
    assert await call(page, "scrollback", steps, [-1, -1, -1, 1, 1, 1]) == ["two", "one", "one", "two", "", ""]


@pytest.mark.parametrize(
    ("kept", "understood"),
    [
        (None, {"muted": False, "volume": 1}),
        ('{"muted":true,"volume":0.4}', {"muted": True, "volume": 0.4}),
        ('{"muted":"yes","volume":7}', {"muted": False, "volume": 1}),
        ("nonsense", {"muted": False, "volume": 1}),
    ],
)
async def test_loudness_is_remembered_if_it_can_be_understood(page: Page, kept: str | None, understood: Any) -> None:
    assert await call(page, "player/sound", "m.understood(a)", kept) == understood


async def test_an_answer_asks_for_both_channels_of_opus_and_once(page: Page) -> None:
    sdp = "m=audio 9\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 minptime=10;useinbandfec=1\r\na=fmtp:97 apt=96\r\n"
    asked = sdp.replace("useinbandfec=1", "useinbandfec=1;stereo=1")
    assert await call(page, "player/sound", "m.inStereo(a)", sdp) == asked
    assert await call(page, "player/sound", "m.inStereo(a)", asked) == asked
    assert await call(page, "player/sound", "m.inStereo(a)", "m=video 9\r\n") == "m=video 9\r\n"


@pytest.mark.parametrize(
    ("vm", "verbs"),
    [
        ({"state": "PROVISIONING", "provisioning": {}}, ["terminate"]),
        ({"state": "READY"}, ["drain", "terminate"]),
        ({"state": "READY", "provisioning": {}}, ["drain", "replace", "stop", "terminate"]),
        ({"state": "IN_USE", "provisioning": {}, "activeSessions": 1}, ["drain", "replace", "terminate"]),
        ({"state": "DRAINING", "provisioning": {}, "activeSessions": 1}, ["undrain", "terminate"]),
        ({"state": "DRAINING", "provisioning": {}}, ["undrain", "stop", "terminate"]),
        ({"state": "STOPPED", "provisioning": {}}, ["start", "terminate"]),
        ({"state": "ERROR"}, ["ready", "terminate"]),
        ({"state": "TERMINATED", "provisioning": {}}, []),
    ],
)
async def test_a_vm_is_offered_what_its_state_allows(page: Page, vm: dict[str, Any], verbs: list[str]) -> None:
    asked = vm | {"state": f"VM_STATE_{vm['state']}"}
    assert await call(page, "vmverbs", "m.verbsOf(a).map(({ verb }) => verb)", asked) == verbs


SESSION = {
    "createTime": "2026-01-01T00:00:00Z", "state": "SESSION_STATE_RUNNING", "vm": "vms/helm-1", "generation": 1,
    "preset": "high", "region": "local", "save": "saves/voyage",
    "stages": {"allocatedTime": "2026-01-01T00:00:00.020Z", "firstFrameTime": "2026-01-01T00:00:02Z"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {},
            [("Asked", True), ("Placed on helm-1", True), ("Image ready", True), ("Game started", True),
             ("First frame", True)],
        ),
        (
            {"stages": {}, "vm": "", "state": "SESSION_STATE_PENDING", "streamed": False},
            [("Asked", True), ("Placed", False), ("Image ready", False), ("Game started", False), ("Ready", False)],
        ),
        (
            {"generation": 3, "stages": {"allocatedTime": "2026-01-01T01:00:00Z"}, "state": "SESSION_STATE_STARTING"},
            [("Asked", True), ("Placed again 2 times", True), ("Placed on helm-1", True), ("Image ready", False),
             ("Game started", False), ("First frame", False)],
        ),
        (
            {"endTime": "2026-01-01T00:09:00Z", "state": "SESSION_STATE_CRASHED", "stages": {}, "vm": ""},
            [("Asked", True), ("Crashed", True)],
        ),
    ],
)  # fmt: skip
async def test_a_story_tells_what_was_reached_and_what_is_to_come(
    page: Page, changes: dict[str, Any], told: list[tuple[str, bool]]
) -> None:
    story = await call(page, "storyline", "m.storyOf(a)", SESSION | changes)
    assert [(moment["label"], moment["reached"]) for moment in story] == told


async def test_a_story_ends_with_its_reason_told_once(page: Page) -> None:
    end = {
        "endTime": "2026-01-01T00:00:31Z", "state": "SESSION_STATE_CRASHED", "reason": "SESSION_REASON_GAME_CRASHED",
        "reasonDetail": "The game ended with exit code 139.", "exitCode": 139, "runningDuration": "29s",
    }  # fmt: skip
    story = await call(page, "storyline", "m.storyOf(a)", SESSION | end)
    assert story[-1]["detail"] == "the game crashed: The game ended with exit code 139; played for 29 s"
    assert [moment.get("afterMs") for moment in story] == [0, 20, 2000, None]


@pytest.mark.parametrize(
    ("state", "reason", "code", "reads"),
    [
        ("STOPPED", "STOP_REQUESTED", -15, "it was stopped on request"),
        ("STOPPED", "IDLE", -9, "nobody played for too long"),
        ("STOPPED", "STOP_REQUESTED", 3, "it was stopped on request (exit code 3)"),
        ("COMPLETED", "GAME_EXITED", 0, "the game ended by itself"),
        ("CRASHED", "GAME_CRASHED", -11, "the game crashed (killed by SIGSEGV)"),
        ("CRASHED", "GAME_CRASHED", -35, "the game crashed (killed by signal 35)"),
        ("CRASHED", "GAME_CRASHED", 139, "the game crashed (exit code 139)"),
        ("LOST", "HOST_LOST", None, "its host was lost"),
    ],
)
async def test_how_a_game_exited_is_told_in_words_where_it_tells_something(
    page: Page, state: str, reason: str, code: int | None, reads: str
) -> None:
    session = {"state": f"SESSION_STATE_{state}", "reason": f"SESSION_REASON_{reason}"}
    session |= {} if code is None else {"exitCode": code}
    assert await call(page, "format", "m.ending(a)", session) == reads


async def test_what_was_passed_over_for_one_reason_is_told_once(page: Page) -> None:
    passed = [
        {"region": "eu", "vm": "", "why": "has no VM"},
        {"region": "local", "vm": "vms/helm-1", "why": "is full"},
        {"region": "us", "vm": "", "why": "has no VM"},
    ]
    lines = await call(page, "storyline", "m.passedOver({passedOver: a})", passed)
    assert lines == ["eu, us: has no VM", "helm-1: is full"]


@pytest.mark.parametrize(
    ("data", "reads"),
    [
        (b"", ""),
        (b"plain \xc3\xa9", "plain é"),
        (b'{"a": [1]}', '{\n  "a": [\n    1\n  ]\n}'),
        (b"\x0a\x03abc\xff", "0000  0a 03 61 62 63 ff                                ..abc."),
    ],
)
async def test_bytes_of_unknown_make_are_legible(page: Page, data: bytes, reads: str) -> None:
    assert await call(page, "bytes", "m.legible(a)", base64.b64encode(data).decode()) == reads
