"""Set-up says what is missing and how to get it; the browser it finds can play our video."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tools import chromium, set_up


def test_a_chromium_that_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/bin/false")
    with pytest.raises(chromium.NoBrowserError, match="CHROMIUM=/bin/false does not answer"):
        chromium.find()


def test_the_first_chromium_on_path_that_starts_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, working = tmp_path / "chromium", tmp_path / "google-chrome"
    broken.write_text("#!/bin/sh\nexit 1\n")
    working.write_text("#!/bin/sh\necho Chromium\n")
    broken.chmod(0o755)
    working.chmod(0o755)
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.find() == working


def test_an_unknown_purpose_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        set_up.main(["deploy"])
    assert "unknown purpose deploy: use test, browser, docs" in capsys.readouterr().err


def test_a_python_without_venv_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(set_up, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(sys, "executable", str(python))
    assert set_up.main([]) == 1
    assert "apt-get install python3-venv" in capsys.readouterr().err
    assert not (tmp_path / ".venv").exists()


@pytest.mark.browser
async def test_the_browser_decodes_h264(browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto("chrome://version")
    supported = await page.evaluate(
        "VideoDecoder.isConfigSupported({codec: 'avc1.42E01F'}).then((answer) => answer.supported)"
    )
    assert supported, f"Chromium {browser.version} has no H.264 decoder: use Debian's or Chrome"
