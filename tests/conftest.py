"""What every test may ask for: a Chromium, a page in it, and a port that is free."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tools.chromium import find

# Chromium's sandbox refuses to start as root, which is who runs tests in a container.
BROWSER_ARGS = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The Chromium that `make test` found or installed."""
    path = find()
    if path is None:
        pytest.fail(
            "no Chromium on this machine: run the tests with `make test`, which installs one"
        )
    return path


@pytest.fixture
async def browser(chromium_path: Path) -> AsyncIterator[Browser]:
    """A headless Chromium of the test's own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(chromium_path), args=BROWSER_ARGS
        )
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of 1920 by 1080; an exception that nobody caught in it fails the test."""
    context = await browser.new_context(viewport={"width": 1920, "height": 1080})
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    await context.close()
    assert not errors, f"uncaught in the page: {errors}"


@pytest.fixture
def free_port() -> int:
    """A TCP port of this machine that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
