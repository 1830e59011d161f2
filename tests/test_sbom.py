"""The bill of materials names what the wheels bring along, with the version that is there."""

from __future__ import annotations

import re
from importlib.metadata import distribution

import pytest
import zmq

from tools import sbom


def versions(wheel: str) -> dict[str, str]:
    return {one["name"]: one["version"] for one in sbom.libraries(distribution(wheel))}


def test_pyzmq_s_libzmq_and_libsodium_tell_their_own_versions() -> None:
    found = versions("pyzmq")
    assert found["libzmq"] == zmq.zmq_version()
    assert re.fullmatch(r"1\.0\.\d+", found["libsodium"])


def test_av_s_ffmpeg_and_x264_are_named_and_x264_s_licence_too() -> None:
    found = versions("av")
    assert {"libavcodec", "libavformat", "libx264"} <= set(found)
    assert found["libavcodec"].split(".")[0].isdecimal()
    assert "unknown" not in {found["libx264"], found["libavcodec"]}
    x264 = next(c for c in sbom.libraries(distribution("av")) if c["name"] == "libx264")
    assert x264["licenses"] == [{"license": {"id": "GPL-2.0-or-later"}}]


def test_opencv_s_bundled_libraries_are_named() -> None:
    assert {"libavcodec", "libcrypto"} <= set(versions("opencv-python-headless"))
    assert {"JPEG", "PNG", "TIFF"} <= {one["name"] for one in sbom.built_in()}


def test_what_is_needed_is_what_runs_and_no_tool() -> None:
    names = set(sbom.needed())
    assert {"scot-bus", "pyzmq", "msgspec", "av", "opencv-python-headless", "fastapi"} <= names
    assert not {"pytest", "ruff", "mypy", "atheris", "cyclonedx-bom"} & names


def test_a_library_that_must_be_named_and_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sbom, "NEEDED", {"libnothing"})
    monkeypatch.setattr(sbom, "standard", lambda: {"components": [], **EMPTY})
    assert sbom.main(["/nowhere/x.json"]) == 1
    assert capsys.readouterr().err == "sbom: not found in the wheels: libnothing\n"


EMPTY = {"metadata": {"component": {"bom-ref": "root-component"}}, "dependencies": []}
