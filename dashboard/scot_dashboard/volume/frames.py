"""An enhanced multi-frame object as the single slices that it holds.

Enhanced CT, MR and PET (PS3.3 C.7.6.16) keep what all frames share in one functional group and
what is a frame's own in another; here each frame becomes a header with the fields of a single
slice, so that one geometry check serves both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from scot_dashboard.volume.grid import VolumeError

MOST_FRAMES: Final = 20_000

# Where a single slice's field stands: functional group, then the field.
_GROUPS: Final = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
}
SEQUENCES: Final = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]


def slices(image: Any) -> Iterator[Any]:
    """Yield a header for each frame of an object; a single-frame object is its own.

    Raises:
        VolumeError: its frames do not say where they are.
    """
    count = int(image.get("NumberOfFrames") or 1)
    own = image.get("PerFrameFunctionalGroupsSequence") or []
    if count == 1 and not own:
        yield image
        return
    if count > MOST_FRAMES:
        raise VolumeError(f"an object of {count} frames (limit {MOST_FRAMES}); send the series")
    if len(own) != count:
        raise VolumeError(
            f"a multi-frame object of {count} frames says of {len(own)} where they are; export it "
            "as enhanced CT or MR, as single frames, or as NIfTI (dcm2niix)"
        )
    shared = (image.get("SharedFunctionalGroupsSequence") or [None])[0]
    kind = type(image)
    for n, group in enumerate(own):
        frame = kind("", {}) if kind.__name__ == "FileDataset" else kind()
        for element in image:
            if element.keyword not in SEQUENCES and element.keyword != "NumberOfFrames":
                frame.add(element)
        for field, sequence in _GROUPS.items():
            value = _field(group, sequence, field)
            value = _field(shared, sequence, field) if value is None else value
            if value is not None:
                setattr(frame, field, value)
        frame.own_path = image.own_path
        frame.own_frame = n
        yield frame


def _field(group: Any, sequence: str, field: str) -> Any:
    items = group.get(sequence) if group is not None else None
    return items[0].get(field) if items else None
