"""Write the software bill of materials of a release: ``python -m tools.sbom [FILE]``.

CycloneDX 1.6, by the standard tool (cyclonedx-py, Apache-2.0) from what is installed, kept to what
SCOT needs to run. Wheels bring libraries that no package index names: libzmq and libsodium in
pyzmq, FFmpeg with x264 in av, FFmpeg with OpenSSL in OpenCV. Each is added below its wheel, with
the version the library itself tells where it can, else the one of its file name.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OURS = "scot-bus"
NEEDED = {"libzmq", "libsodium", "libavcodec", "libx264"}
# What a library answers when it is asked for its version: symbol, and an argument if it takes one.
ASKED: dict[str, tuple[str, int | None]] = {
    "libsodium": ("sodium_version_string", None),
    "libavutil": ("av_version_info", None),
    "libcrypto": ("OpenSSL_version", 0),
    "libopus": ("opus_get_version_string", None),
    "libvpx": ("vpx_codec_version_str", None),
    "libaom": ("aom_codec_version_str", None),
    "libdav1d": ("dav1d_version", None),
}
SAME = {"libssl": "libcrypto", **{f"lib{part}": "libavutil" for part in (
    "avcodec", "avformat", "avdevice", "avfilter", "swscale", "swresample",
)}}  # fmt: skip
LICENCES = {
    "libzmq": "MPL-2.0",
    "libsodium": "ISC",
    "libx264": "GPL-2.0-or-later",
    "libx265": "GPL-2.0-or-later",
}
BUILT = re.compile(
    r"^\s+(ZLib|JPEG|JPEG 2000|WEBP|AVIF|PNG|TIFF):\s+\S+\s*\(ver [^)]*?(\d+\.\d+[^),]*)",
    re.MULTILINE,
)
NUMBER = re.compile(r"\d+(?:\.\d+)+[a-z]?")


class SbomError(Exception):
    """The bill cannot be written; the text says what is missing."""


def needed() -> dict[str, Distribution]:
    """Return what SCOT needs to run here, by canonical name: itself and all it requires."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(OURS)]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found:
            continue
        found[name] = distribution(wanted.name)
        for line in found[name].requires or []:
            need = Requirement(line)
            extras = ["", *wanted.extras]
            if need.marker is None or any(need.marker.evaluate({"extra": one}) for one in extras):
                waiting.append(need)
    return found


def standard() -> dict[str, Any]:
    """Return the bill of everything that is installed, as cyclonedx-py writes it."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
    command += ["--no-validate"]  # it is, when it is whole
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--spec-version", "1.6", sys.executable]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SbomError(f"cyclonedx-py: {done.stderr.strip().splitlines()[-1]}")
    bill: dict[str, Any] = json.loads(done.stdout)
    return bill


def bundled(wheel: Distribution) -> Iterator[Path]:
    """Yield the native libraries that a wheel brings beside its own modules."""
    for file in wheel.files or []:
        if any(part.endswith(".libs") for part in file.parts) and ".so" in file.name:
            yield Path(str(wheel.locate_file(file)))


def name_of(path: Path) -> tuple[str, str]:
    """Return a library's name, and the version its file name has, if any."""
    stem, _, version = path.name.partition(".so")
    return re.sub(r"-[0-9a-f]{8}.*$", "", stem), version.lstrip(".")


def told(path: Path, name: str) -> str:
    """Return the version that a library tells itself, empty when it does not."""
    try:
        if name == "libzmq":
            numbers = [ctypes.c_int() for _ in range(3)]
            ctypes.CDLL(str(path)).zmq_version(*map(ctypes.byref, numbers))
            return ".".join(str(number.value) for number in numbers)
        if name not in ASKED:
            return ""
        symbol, argument = ASKED[name]
        ask = getattr(ctypes.CDLL(str(path)), symbol)
        ask.restype = ctypes.c_char_p
        answer: bytes = ask() if argument is None else ask(argument)
        number = NUMBER.search(answer.decode())
        return number.group() if number else ""
    except (OSError, AttributeError):
        return ""


def libraries(wheel: Distribution) -> list[dict[str, Any]]:
    """Return a component for each native library of a wheel."""
    paths = {name_of(path)[0]: path for path in bundled(wheel)}
    components = []
    for name, path in sorted(paths.items()):
        asked = SAME.get(name, name)
        by_itself = told(paths.get(asked, path), asked)
        component: dict[str, Any] = {
            "type": "library",
            "name": name,
            "version": by_itself or name_of(path)[1] or "unknown",
            "bom-ref": f"{wheel.name}/{path.name}",
            "hashes": [
                {"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}
            ],
            "properties": [
                {"name": "scot:bundled-in", "value": f"{wheel.name} {wheel.version}"},
                {"name": "scot:file", "value": path.name},
                {"name": "scot:version-from", "value": "library" if by_itself else "file name"},
            ],
        }
        if name in LICENCES:
            component["licenses"] = [{"license": {"id": LICENCES[name]}}]
        components.append(component)
    return components


def built_in() -> list[dict[str, Any]]:
    """Return what OpenCV was built with inside its own module, as it says itself."""
    import cv2

    return [
        {
            "type": "library",
            "name": name.strip(),
            "version": version,
            "bom-ref": f"opencv-python-headless/{name.strip()}",
            "properties": [
                {"name": "scot:bundled-in", "value": f"opencv-python-headless {cv2.__version__}"},
                {"name": "scot:version-from", "value": "cv2.getBuildInformation"},
            ],
        }
        for name, version in BUILT.findall(cv2.getBuildInformation())
    ]


def bill() -> dict[str, Any]:
    """Return the whole bill.

    Raises:
        SbomError: a library that must be named was not found, or the bill is not valid.
    """
    wheels = needed()
    whole = standard()
    kept = [c for c in whole["components"] if canonicalize_name(c["name"]) in wheels]
    refs = {component["bom-ref"] for component in (*kept, whole["metadata"]["component"])}
    links = [link for link in whole["dependencies"] if link["ref"] in refs]
    for link in links:
        link["dependsOn"] = [ref for ref in link.get("dependsOn", []) if ref in refs]
    below: dict[str, str] = {canonicalize_name(c["name"]): c["bom-ref"] for c in kept}
    by_ref: dict[str, Any] = {link["ref"]: link for link in links}
    native: list[dict[str, Any]] = []
    for name, wheel in sorted(wheels.items()):
        inside = libraries(wheel) + (built_in() if name == "opencv-python-headless" else [])
        native += inside
        if inside and name in below:
            by_ref[below[name]]["dependsOn"] += [component["bom-ref"] for component in inside]
    missing = NEEDED - {one["name"] for one in native if one["version"] != "unknown"}
    if missing and sys.platform == "linux":
        raise SbomError(f"not found in the wheels: {', '.join(sorted(missing))}")
    whole["components"] = kept + native
    whole["dependencies"] = links + [{"ref": one["bom-ref"]} for one in native]
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(whole))
    if fault is not None:
        raise SbomError(f"not valid CycloneDX 1.6: {fault}")
    return whole


def main(arguments: list[str] | None = None) -> int:
    """Write the bill; return 0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="sbom", description="Write the bill of materials.")
    version = distribution(OURS).version
    default = ROOT / "dist" / f"{OURS.replace('-', '_')}-{version}.cdx.json"
    parser.add_argument("file", nargs="?", type=Path, default=default)
    path: Path = parser.parse_args(arguments).file
    try:
        whole = bill()
    except SbomError as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: {len(whole['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
