"""Sign-in, fleet and start pages against a gateway made of paper."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, expect

from tests.e2e.stub import CODE, GAME, Stub, ago, problem, session, vm

# One event loop for all: the browser, which takes long to start, is shared.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_without_a_login_every_page_says_how_to_get_one(page: Page, stub: Stub) -> None:
    for address in ("/", "/#/play/abc"):
        await page.goto(stub.url + address)
        await expect(page.get_by_text("quarterdeck signin")).to_be_visible()


async def test_the_one_time_link_signs_in_and_leaves_no_trace_of_its_code(page: Page, stub: Stub) -> None:
    stub.put("aurora", "STARTING", stages={})
    await page.goto(f"{stub.url}/#/signin/{CODE}/play/aurora")
    await expect(page.get_by_text("Getting under way")).to_be_visible()
    assert page.url == f"{stub.url}/#/play/aurora"
    assert CODE not in await page.evaluate("[location.href, document.referrer, ...Object.values(localStorage)].join()")
    await page.go_back()
    assert CODE not in page.url


async def test_a_used_link_says_so(page: Page, stub: Stub) -> None:
    await page.goto(f"{stub.url}/#/signin/wrong")
    await expect(page.get_by_role("alert")).to_contain_text("CODE_UNKNOWN")
    await expect(page.get_by_text("quarterdeck signin")).to_be_visible()


async def test_a_used_link_still_leads_on_where_the_browser_is_signed_in(page: Page, signed_in: Stub) -> None:
    await page.goto(f"{signed_in.url}/#/signin/wrong")
    await expect(page.get_by_role("heading", name="VMs and hosts")).to_be_visible()


async def test_signing_out_shows_the_way_back_in(page: Page, signed_in: Stub) -> None:
    await page.goto(signed_in.url)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_the_fleet_shows_states_conditions_and_capacity(page: Page, signed_in: Stub) -> None:
    signed_in.put("aurora")
    signed_in.put("zephyr", unreachable=True)
    signed_in.put("kelp", "PENDING", queuePosition=3, stages={}, vm="")
    signed_in.put("gale", "CRASHED", reason="SESSION_REASON_GAME_CRASHED", exitCode=139, runningDuration="12s")
    await page.goto(signed_in.url)
    rows = page.get_by_role("listitem")
    await expect(rows.filter(has_text="aurora")).to_contain_text("Running")
    await expect(rows.filter(has_text="aurora")).not_to_contain_text("Unreachable")
    await expect(rows.filter(has_text="zephyr")).to_contain_text("Unreachable")
    await expect(rows.filter(has_text="kelp")).to_contain_text("number 3 in the queue")
    await expect(page.get_by_role("contentinfo")).to_have_text("Quarterdeck 0.1.0")
    await expect(rows.filter(has_text="helm-2").last).to_contain_text("Host stale")
    meter = page.get_by_role("meter", name="Used capacity of helm-1")
    assert await meter.get_attribute("aria-valuenow") == "12"
    assert await meter.get_attribute("aria-valuemax") == "24"
    await page.get_by_text("Last 1 that ended").click()
    await expect(rows.filter(has_text="gale")).to_contain_text("the game crashed (exit code 139)")


async def test_a_vm_in_trouble_says_what_went_wrong_and_when_it_is_tried_again(page: Page, signed_in: Stub) -> None:
    later = (datetime.now(UTC) + timedelta(seconds=150)).isoformat()
    failure = {"errorCode": "NO_OFFER", "errorMessage": "no offer fits now", "nextAttemptTime": later}
    signed_in.vms += [
        vm("helm-3", "VM_STATE_ERROR", 0) | {"provisioning": failure},
        vm("helm-4", "VM_STATE_ERROR", 0) | {"reasonDetail": "smoke"},
    ]
    await page.goto(signed_in.url)
    rows = page.get_by_role("listitem")
    await expect(rows.filter(has_text="helm-3")).to_contain_text("NO_OFFER: no offer fits now · next attempt in 2 min")
    await expect(rows.filter(has_text="helm-4")).to_contain_text("smoke")
    await expect(rows.filter(has_text="helm-1").first).not_to_contain_text("next attempt")


@pytest.mark.parametrize(("broken", "link"), [(False, "Live"), (True, "Polling")])
async def test_changes_show_by_themselves_with_and_without_the_event_stream(
    page: Page, signed_in: Stub, broken: bool, link: str
) -> None:
    signed_in.events_broken = broken
    await page.goto(signed_in.url)
    await expect(page.get_by_text(link, exact=True)).to_be_visible()
    await expect(page.get_by_text("Nobody plays at the moment.")).to_be_visible()
    signed_in.put("aurora")
    await expect(page.get_by_role("listitem").filter(has_text="aurora")).to_contain_text("Running")


async def test_a_house_where_something_always_happens_is_read_all_the_same(page: Page, signed_in: Stub) -> None:
    await page.goto(signed_in.url)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    async def always() -> None:
        while True:
            signed_in.put("busy")
            await asyncio.sleep(0.03)

    happening = asyncio.create_task(always())
    try:
        await expect(page.get_by_role("listitem").filter(has_text="busy")).to_be_visible()
        signed_in.put("aurora")
        await expect(page.get_by_role("listitem").filter(has_text="aurora")).to_contain_text("Running")
    finally:
        happening.cancel()


async def test_a_hidden_tab_holds_no_connection_and_catches_up_when_it_is_seen(page: Page, signed_in: Stub) -> None:
    await page.goto(signed_in.url)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await show(page, False)
    async with asyncio.timeout(20):
        while signed_in.watchers:
            await asyncio.sleep(0.02)
    signed_in.put("aurora")
    asked = -1
    while asked != len(signed_in.calls):  # those that were on their way
        asked = len(signed_in.calls)
        await asyncio.sleep(0.5)
    await asyncio.sleep(2.5)  # longer than it polls
    assert len(signed_in.calls) == asked
    await show(page, True)
    await expect(page.get_by_role("listitem").filter(has_text="aurora")).to_contain_text("Running")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def show(page: Page, visible: bool) -> None:
    """As when the user turns to another tab, which a headless browser does not have."""
    await page.evaluate(
        """(visible) => {
          Object.defineProperty(document, "hidden", { value: !visible, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        visible,
    )


async def test_an_action_that_ends_something_asks_first(page: Page, signed_in: Stub) -> None:
    signed_in.put("aurora")
    await page.goto(signed_in.url)
    stop = page.get_by_role("button", name="Stop session aurora")
    await stop.click()
    await page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    await stop.click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert signed_in.called("/v1/sessions/aurora:stop") == []
    await stop.click()
    await page.get_by_role("dialog").get_by_role("button", name="Stop it").click()
    await expect(page.get_by_text("Nobody plays at the moment.")).to_be_visible()
    assert signed_in.called("/v1/sessions/aurora:stop") == [{}]


async def test_an_operator_drains_undrains_and_terminates(page: Page, signed_in: Stub) -> None:
    await page.goto(signed_in.url)
    await page.get_by_role("button", name="Drain helm-1").click()
    await page.get_by_role("button", name="Undrain").click()
    await page.get_by_role("button", name="Terminate").first.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("One session plays")
    await dialog.get_by_role("button", name="End sessions and terminate").click()
    await expect(dialog).to_have_count(0)
    assert signed_in.called("/v1/vms/helm-1:drain") == [{}]
    assert signed_in.called("/v1/vms/helm-2:undrain") == [{}]
    assert signed_in.called("/v1/vms/helm-1:terminate") == [{"force": True}]


async def test_a_player_sees_no_machines(page: Page, signed_in: Stub) -> None:
    signed_in.role = "ROLE_PLAYER"
    await page.goto(signed_in.url)
    await expect(page.get_by_role("heading", name="Start a session")).to_be_visible()
    await expect(page.get_by_role("heading", name="VMs and hosts")).to_have_count(0)
    assert not [where for _, where, _ in signed_in.calls if where in ("/v1/vms", "/v1/hosts")]
    # Whom no events are told of is not warned that they are away, and does not ask for them again and again.
    await expect(page.get_by_text("Every 2 s", exact=True)).to_be_visible()
    signed_in.put("aurora")
    await expect(page.get_by_role("listitem").filter(has_text="aurora")).to_contain_text("Running")
    assert [where for _, where, _ in signed_in.calls].count("/v1/events:watch") == 1


async def test_a_player_is_shown_no_more_of_a_session_than_is_a_player_s(page: Page, signed_in: Stub) -> None:
    signed_in.role = "ROLE_PLAYER"
    signed_in.put("aurora")
    signed_in.events = [{"eventId": "1", "type": "quarterdeck.session.assigned", "subject": "sessions/aurora"}]
    await page.goto(signed_in.url)
    places = page.get_by_role("navigation", name="Pages").get_by_role("link")
    await expect(places).to_have_text(["Fleet", "Sessions"])
    await places.last.click()
    await page.get_by_role("link", name="aurora").click()
    await expect(page.get_by_role("list", name="Story")).to_contain_text("First frame")
    await expect(page.get_by_role("table", name="Events")).to_contain_text("Assigned")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    for name in ("Console", "Back up now", "helm-1"):
        await expect(page.get_by_text(name, exact=True).and_(page.locator("a, button"))).to_have_count(0)
    asked = {where for _, where, _ in signed_in.calls}
    assert not [where for where in asked if "backups" in where or "log" in where]
    for hash_ in ("capacity", "saves", "saves/voyage", "dead-letters", "vms/helm-1", "console/aurora"):
        await page.goto(f"{signed_in.url}/#/{hash_}")
        await expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    assert {where for _, where, _ in signed_in.calls} == asked


async def test_starting_a_session_leads_to_its_page_and_shows_the_queue_and_the_stages(
    page: Page, signed_in: Stub
) -> None:
    await page.goto(signed_in.url)
    await page.get_by_label("Preset").select_option("Software: 720p at 30 fps")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_text("Waiting for a free place")).to_be_visible()
    await expect(page.get_by_role("status").first).to_contain_text("Number 2 in the queue")
    (asked,) = signed_in.called("/v1/sessions")
    assert len(asked.pop("clientToken")) == 32
    assert asked == {"game": "games/regatta", "preset": "software-720p30", "region": ""}
    # On a phone the card is whole: nothing of it lies beyond the frame.
    await page.set_viewport_size({"width": 390, "height": 800})
    await expect(page.get_by_role("heading", name="Waiting for a free place")).to_be_in_viewport(ratio=1)
    await expect(page.get_by_role("listitem").filter(has_text="First frame")).to_be_in_viewport(ratio=1)
    stages = session("fresh")["stages"]
    signed_in.put("fresh", "STARTING", queuePosition=0, stages={"allocatedTime": stages["allocatedTime"]})
    await expect(page.get_by_role("listitem").filter(has_text="Image ready")).to_have_attribute("aria-current", "step")
    assert page.url.endswith("#/play/fresh")


async def test_where_a_region_has_a_law_the_player_says_where_he_is_and_is_not_asked_twice(
    page: Page, signed_in: Stub
) -> None:
    await page.goto(signed_in.url)
    await expect(page.get_by_label("Region")).to_be_visible()
    await expect(page.get_by_label("Where you are")).to_have_count(0)
    signed_in.regions[0]["law"] = {"allow": ["DE"]}
    await page.reload()
    where = page.get_by_label("Where you are")
    await where.fill("d")
    await page.get_by_role("button", name="Start", exact=True).click()
    assert not await where.evaluate("field => field.validity.valid")
    assert signed_in.called("/v1/sessions") == []
    await where.fill("de")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_text("Waiting for a free place")).to_be_visible()
    (asked,) = signed_in.called("/v1/sessions")
    assert (asked["territory"], asked["region"]) == ("DE", "")
    await page.goto(signed_in.url)
    await expect(where).to_have_value("DE")


async def test_another_round_goes_on_with_the_save_and_says_where_the_player_is(page: Page, signed_in: Stub) -> None:
    signed_in.games = [GAME | {"parameters": [{"parameterName": "greeting"}]}]
    ended = {"reason": "SESSION_REASON_IDLE", "endTime": ago(0), "save": "saves/voyage", "runningDuration": "9s"}
    signed_in.put("aurora", "STOPPED", **ended)
    await page.goto(signed_in.url)
    await page.evaluate("localStorage.setItem('quarterdeck.territory', 'DE')")
    await page.goto(f"{signed_in.url}/#/play/aurora")
    await expect(page.get_by_text("it goes on with the save voyage")).to_be_visible()
    await expect(page.get_by_text("it begins with the game's own parameters")).to_be_visible()
    await page.get_by_role("button", name="Play again").click()
    await expect(page.get_by_text("Waiting for a free place")).to_be_visible()
    (asked,) = signed_in.called("/v1/sessions")
    del asked["clientToken"]
    wished = {"preset": "software-720p30", "region": "local", "saveId": "voyage", "territory": "DE"}
    assert asked == {"game": "games/regatta"} | wished


async def test_a_refusal_shows_reason_and_field_and_keeps_the_form(page: Page, signed_in: Stub) -> None:
    signed_in.refuse = (400, problem(3, "PRESET_UNKNOWN", "There is no preset of that name.", "preset"))
    await page.goto(signed_in.url)
    await page.get_by_label("Preset").select_option("software-720p30")
    await page.get_by_role("button", name="Start", exact=True).click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("There is no preset of that name.")
    await expect(alert).to_contain_text("PRESET_UNKNOWN")
    await expect(page.get_by_label("Preset")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Preset")).to_have_value("software-720p30")


async def test_a_session_that_is_not_there_is_said_so(page: Page, signed_in: Stub) -> None:
    await page.goto(f"{signed_in.url}/#/play/nothing")
    await expect(page.get_by_role("heading", name="No such session")).to_be_visible()
    await expect(page.get_by_role("alert")).not_to_contain_text("Field")
    await page.get_by_role("link", name="To the fleet").click()
    await expect(page.get_by_role("heading", name="Fleet", level=1)).to_be_attached()


async def test_a_module_that_did_not_arrive_is_asked_for_again(page: Page, signed_in: Stub) -> None:
    await page.route("**/listing.js", lambda route: route.abort("connectionreset"), times=3)
    await page.goto(f"{signed_in.url}/#/sessions")
    await expect(page.get_by_role("heading", name="Sessions", level=1)).to_be_attached(timeout=20_000)


async def test_a_module_that_never_arrives_is_told_after_some_tries(page: Page, signed_in: Stub) -> None:
    await page.route("**/listing.js", lambda route: route.abort("connectionreset"))
    await page.goto(f"{signed_in.url}/#/sessions")
    await expect(page.get_by_text("did not arrive")).to_be_visible(timeout=20_000)


async def test_an_unknown_address_leads_back(page: Page, signed_in: Stub) -> None:
    await page.goto(f"{signed_in.url}/#/nowhere")
    await page.get_by_role("link", name="To the fleet").click()
    await expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
