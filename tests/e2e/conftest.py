"""A real headless Chromium for tests that look at pages. Where there is none, they skip and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.docker_images import (
    broadside_image,
    controlplane_image,
    debian_image,
    games_image,
    nats_image,
    postgres_image,
    shipped_image,
)
from tests.e2e.stub import Stub, serving

__all__ = [
    "broadside_image",
    "controlplane_image",
    "debian_image",
    "games_image",
    "nats_image",
    "postgres_image",
    "shipped_image",
]

# A machine that runs the whole suite is busy: waiting costs nothing where all is well.
expect.set_options(timeout=20_000)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """QUARTERDECK_TEST_CHROMIUM, or the machine's own."""
    given = os.environ.get("QUARTERDECK_TEST_CHROMIUM", "")
    found = given or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium on this machine")
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium_path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, stub: Stub) -> AsyncIterator[Page]:
    """Gone before the stub is. A script error on it, or a breach of the content security policy, fails the test."""
    page = await context.new_page()
    page.set_default_timeout(20_000)
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda line: broken.append(line.text) if "Content Security Policy" in line.text else None)
    yield page
    assert broken == []


@pytest_asyncio.fixture(loop_scope="session")
async def stub() -> AsyncIterator[Stub]:
    async with serving(Stub()) as stub:
        yield stub


@pytest_asyncio.fixture(loop_scope="session")
async def signed_in(stub: Stub) -> Stub:
    stub.signed_in = True
    return stub
