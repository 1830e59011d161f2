"""What of a recording may go into a file that leaves the house. Sans-IO; fails closed.

The rule is the gateway's for a consultant (DESIGN §10): a channel is written when it says that it
is clinical; identity, technical and what says nothing about itself stay, and so do images, which
carry names in their headers and in the picture. Of what is written, texts that repeat a word learnt
from an identity channel are withheld, and free text of people is withheld altogether unless asked
for. Times are moved so that no date is left; then texts and events, which may tell the time, stay.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from scot.channel import Catalogue, Channel, Device, Kind, Sensitivity
from scot.codec import Frame, Header
from scot.errors import UNREADABLE, CodecError
from scot.names import WITHHELD, Names
from scot.sample import AlarmValue, AnnotationValue
from scot.timestamp import TAI_MINUS_UTC_NS

NO_DATE_NS = 946_684_800_000_000_000 + TAI_MINUS_UTC_NS
"""Bus time that reads as 2000-01-01T00:00:00Z: when a recording without a date begins."""
_AUTHOR = re.compile(r"^(OR staff|(consultant|engineer|staff) \d{1,4})\Z")
_SHORTEST_CASE = 3
_WITH_WORDS = frozenset({Kind.TEXT, Kind.EVENT})
_encoder = msgspec.msgpack.Encoder()
_annotation = msgspec.msgpack.Decoder(AnnotationValue)
_alarm = msgspec.msgpack.Decoder(AlarmValue)


def withheld(channel: Channel, moved: bool = False) -> str:
    """Say why a channel stays; empty when it may leave.

    Args:
        channel: as it described itself.
        moved: times are moved.
    """
    if channel.sensitivity is not Sensitivity.CLINICAL:
        return channel.sensitivity.value
    if channel.kind is Kind.IMAGE:
        return "an image may carry a name"
    if moved and channel.kind in _WITH_WORDS:
        return f"{channel.kind} may tell the time; --keep-times writes it"
    return ""


class Deidentifier:
    """Cleans catalogues and frames of one recording.

    Args:
        names: words that must not leave.
        case: the case's number, which must not leave either.
        move_ns: added to every bus time; 0 keeps times.
        notes: keep what people wrote, without what names the patient.

    Attributes:
        texts: how many texts were withheld.
    """

    def __init__(self, names: Names, case: str, move_ns: int = 0, notes: bool = False) -> None:
        self.texts = 0
        self._names = names
        self._case = case.casefold() if len(case) >= _SHORTEST_CASE else ""
        self._move_ns = move_ns
        self._notes = notes
        self._source: dict[str, int] = {}

    def catalogue(self, source: Catalogue) -> Catalogue:
        """Return what may leave of a catalogue."""
        devices = {name: self._device(device) for name, device in source.devices.items()}
        return Catalogue(
            workspace=source.workspace,
            version=source.version,
            replay=source.replay,
            devices={name: device for name, device in devices.items() if device.channels},
            volumes={
                frame: file
                for frame, file in source.volumes.items()
                if not self._bad(f"{frame} {file}")
            },
        )

    def frame(self, frame: Frame, header: Header, kind: Kind) -> Frame | None:
        """Return what leaves of a frame of a channel that may; None when it cannot be cleaned."""
        try:
            payload = self._payload(frame.payload, kind)
        except (CodecError, *UNREADABLE):
            return None
        if not self._move_ns:
            return Frame(frame.topic, frame.header, payload)
        moved = msgspec.structs.replace(
            header,
            epoch=max(0, header.epoch + self._move_ns),
            bus_ns=header.bus_ns + self._move_ns,
            source_ns=self._source_ns(frame.address, header.source_ns),
        )
        return Frame(frame.topic, _encoder.encode(moved), payload)

    def _source_ns(self, address: str, source_ns: int | None) -> int | None:
        """Return a device's own time counted from its first reading here: intervals, no date."""
        if source_ns is None:
            return None
        device = address.rsplit("/", 1)[0]
        return source_ns - self._source.setdefault(device, source_ns)

    def _payload(self, payload: bytes, kind: Kind) -> bytes:
        if kind is Kind.ANNOTATION:
            return _encoder.encode(self._note(_annotation.decode(payload)))
        if kind is Kind.ALARM:
            return self._alarm(payload)
        if kind is Kind.EVENT:
            return self._counted(payload, self._names.clean_packed(payload))
        if kind is Kind.TEXT:
            return self._clean(payload.decode()).encode()
        return payload

    def _note(self, note: AnnotationValue) -> AnnotationValue:
        text = note.text
        if text and not self._notes:
            self.texts += 1
            text = WITHHELD
        author = note.author if _AUTHOR.match(note.author) else "room"
        return msgspec.structs.replace(
            note,
            id=self._clean(note.id),
            author=author,
            text=self._clean(text),
            at_ns=note.at_ns + self._move_ns,
        )

    def _alarm(self, payload: bytes) -> bytes:
        alarm = _alarm.decode(payload)
        text = {language: self._clean(words) for language, words in alarm.text.items()}
        cleaned = msgspec.structs.replace(alarm, id=self._clean(alarm.id), text=text)
        return _encoder.encode(cleaned)  # what we do not know of it stays

    def _counted(self, before: bytes, after: bytes) -> bytes:
        self.texts += before != after
        return after

    def _clean(self, text: str) -> str:
        if not self._bad(text):
            return text
        self.texts += 1
        return WITHHELD

    def _bad(self, text: str) -> bool:
        case = bool(self._case) and self._case in text.casefold()
        return case or self._names.inside(text)

    def _device(self, device: Device) -> Device:
        channels = {
            name: self._channel(channel)
            for name, channel in device.channels.items()
            if not withheld(channel, bool(self._move_ns))
        }
        return Device(
            name=device.name,
            provider=device.provider,
            label=self._labels(device.label),
            state=device.state,
            epoch=max(0, device.epoch + self._move_ns) if device.epoch else 0,
            channels={
                name: msgspec.structs.replace(
                    channel, numeric_of=[n for n in channel.numeric_of if n in channels]
                )
                for name, channel in channels.items()
            },
        )

    def _channel(self, channel: Channel) -> Channel:
        attrs = {
            key: value
            for key, value in channel.attrs.items()
            if _only_numbers(value) and not self._bad(key)
        }
        return msgspec.structs.replace(channel, label=self._labels(channel.label), attrs=attrs)

    def _labels(self, label: dict[str, str]) -> dict[str, str]:
        return {language: self._clean(text) for language, text in label.items()}


def _only_numbers(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_only_numbers(item) for item in value)
    return value is None or isinstance(value, bool | int | float)
