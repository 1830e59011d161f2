"""Pixels of DICOM slices, compressed or not, and what is to be said of them.

Compressed transfer syntaxes (JPEG, JPEG lossless, JPEG-LS, JPEG 2000, RLE) are read by GDCM, in the
process that does nothing else than convert.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scot_dashboard.volume.grid import VolumeError

# Transfer syntaxes that always lose something, and those that may: what to call them.
_LOSING: Final = {
    "1.2.840.10008.1.2.4.50": "JPEG",
    "1.2.840.10008.1.2.4.51": "JPEG",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
}
_METHODS: Final = {
    "ISO_10918_1": "JPEG",
    "ISO_14495_1": "JPEG-LS",
    "ISO_15444_1": "JPEG 2000",
    "ISO_15444_2": "JPEG 2000",
    "ISO_15444_15": "HTJ2K",
}
_CAPTURES: Final = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture, and by a further part its multi-frame kinds."""

_UNREADABLE: Final = (
    NotImplementedError, RuntimeError, AttributeError, ValueError, OSError, KeyError,
    TypeError, IndexError,
)  # fmt: skip


def read(pydicom: Any, headers: list[Any]) -> NDArray[Any]:
    """Return the slices in their own unit (Hounsfield for CT), int16 where that is exact.

    Args:
        pydicom: the module.
        headers: in order; of one size.

    Returns:
        (slices, rows, columns).

    Raises:
        VolumeError: a slice does not decode, or to another size than its header says.
    """
    by_path: dict[Any, list[tuple[int, Any]]] = {}
    for n, header in enumerate(headers):
        by_path.setdefault(header.own_path, []).append((n, header))
    planes: list[NDArray[Any]] = [np.empty(0)] * len(headers)
    for wanted in by_path.values():
        stored = _decoded(pydicom, wanted[0][1])
        for n, header in wanted:
            planes[n] = _in_unit(stored, header)
    return np.stack(planes)


def _decoded(pydicom: Any, header: Any) -> NDArray[Any]:
    """Return what a file's pixels are as stored: (rows, columns) or (frames, rows, columns)."""
    syntax = "unknown"
    try:
        image = pydicom.dcmread(header.own_path)
        uid = image.file_meta.TransferSyntaxUID
        syntax = str(uid.name)
        if uid.is_encapsulated:
            if importlib.util.find_spec("gdcm") is None:
                raise VolumeError(
                    'its pixels are compressed; pip install "scot-bus[images]" (python-gdcm)'
                )
            if uid != pydicom.uid.RLELossless:  # which pydicom reads by itself
                image.pixel_array_options(decoding_plugin="gdcm")
        stored: NDArray[Any] = image.pixel_array
    except _UNREADABLE as bad:
        raise VolumeError(
            f"a slice does not decode ({syntax}, {type(bad).__name__}); send it uncompressed "
            "(dcmdjpeg, dcmdjpls, gdcmconv --raw)"
        ) from bad
    return stored


def _in_unit(stored: NDArray[Any], header: Any) -> NDArray[Any]:
    frame = getattr(header, "own_frame", None)
    plane = stored[frame] if frame is not None and stored.ndim == 3 else stored
    if plane.shape != (int(header.Rows), int(header.Columns)):
        raise VolumeError(
            f"a slice decodes to {' × '.join(map(str, plane.shape))} pixels and says that it has "
            f"{header.Rows} × {header.Columns}; export the series again"
        )
    try:
        slope = float(header.get("RescaleSlope", 1) or 1)
        values = plane * slope + float(header.get("RescaleIntercept", 0) or 0)
    except (TypeError, ValueError):
        raise VolumeError("the rescale slope of a slice is no number; export it again") from None
    whole: NDArray[Any] = np.rint(values)
    if np.array_equal(whole, values) and abs(values).max() <= 32_767:
        return whole.astype(np.int16)
    return values.astype(np.float32)


def lossy(headers: Iterable[Any], syntaxes: Iterable[str]) -> str:
    """Say how pixels were compressed with loss, ever: method and ratio; empty if they were not.

    Source: Lossy Image Compression (0028,2110), Ratio (0028,2112), Method (0028,2114), PS3.3
    C.7.6.1.1.5. Only words of our own and numbers are returned.
    """
    worst, methods = 0.0, [_LOSING[uid] for uid in sorted(set(syntaxes)) if uid in _LOSING]
    told = False
    for header in headers:
        if str(header.get("LossyImageCompression", "")) not in ("01", "1"):
            continue
        told = True
        worst = max([worst, *_numbers(header.get("LossyImageCompressionRatio"))])
        named = header.get("LossyImageCompressionMethod")
        listed = [named] if isinstance(named, str) else named or []
        methods.extend(_METHODS.get(str(method), "") for method in listed)
    if not told and not methods:
        return ""
    known = list(dict.fromkeys(method for method in methods if method))
    return " ".join([*(known or ["unknown method"]), *([f"{worst:.3g}:1"] if worst else [])])


def _numbers(value: Any) -> Iterator[float]:
    for number in value if hasattr(value, "append") or isinstance(value, list) else [value]:
        try:
            found = float(number)
        except (TypeError, ValueError):
            continue
        if np.isfinite(found) and 0 < found < 10_000:
            yield found


def text_doubt(headers: Iterable[Any]) -> str:
    """Say why text may be burnt into pixels though no header says so; empty if it is unlikely."""
    for header in headers:
        if str(header.get("BurnedInAnnotation", "")) == "NO":
            continue
        uid = str(header.get("SOPClassUID", ""))
        if uid == _CAPTURES or uid.startswith(f"{_CAPTURES}."):
            return "a secondary capture, which may show a name in its picture"
        kinds = header.get("ImageType") or []
        if "SECONDARY" in list(kinds)[1:2] or any("SCREEN" in str(kind) for kind in kinds):
            return "a derived series (Image Type SECONDARY), which may show a name in its picture"
    return ""
