"""What may leave for a role: channels, catalogue, texts. Fails closed (DESIGN §10).

A channel leaves when the table of roles grants its class; what says nothing about itself is
`unclassified` and stays. People outside the room get no free text of a device but labels, no
strings of a channel's `attrs` but a shaft's axis and a frame's name, "Case N" for the case, and no
text that repeats a name learnt from an identity channel.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from scot.channel import Catalogue, Channel, Device, Kind
from scot.codec import Frame
from scot.errors import UNREADABLE, CodecError
from scot.names import Names
from scot.sample import AnnotationValue
from scot_dashboard.roles import Role, Verb, identified, may

if TYPE_CHECKING:
    from scot.bus.subscriber import Delivery

AUTHOR = re.compile(r"^(OR staff|(consultant|engineer|staff) \d{1,4})\Z")
UNNAMED_AUTHOR = "room"
_PACKED_TEXT = frozenset({Kind.ALARM, Kind.EVENT})
_NO_TEXT = frozenset({Kind.NUMERIC, Kind.WAVEFORM, Kind.POSE, Kind.VIDEO})

_annotation = msgspec.msgpack.Decoder(AnnotationValue)


class Cases:
    """Numbers for cases, in the order in which they came: what outsiders read instead."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, case: str) -> int:
        """Return the number of a case, 1 for the first."""
        return self._numbers.setdefault(case, len(self._numbers) + 1)


class Egress:
    """One role's view of one catalogue; made anew when either changes.

    Args:
        role: of the people it serves.
        catalogue: as the bus has it.
        names: words that must not leave.
        case_number: what stands for the case.
    """

    def __init__(self, role: Role, catalogue: Catalogue, names: Names, case_number: int) -> None:
        self.role = role
        self.source = catalogue
        self.names = names
        self.case_number = case_number
        # What plays a recording is a recording: there the feed itself is History.
        self._live = Verb.HISTORY if catalogue.replay else Verb.LIVE
        self._verbs = {
            f"{catalogue.workspace}/{device.name}/{channel.name}": frozenset(
                verb for verb in Verb if may(role, channel, verb)
            )
            for device in catalogue.devices.values()
            for channel in device.channels.values()
        }

    @property
    def addresses(self) -> frozenset[str]:
        """Every address that the feed may send by itself."""
        return frozenset(address for address, verbs in self._verbs.items() if self._live in verbs)

    def passes(self, address: str) -> bool:
        """Say whether what the feed sends by itself of an address may leave."""
        return self._live in self._verbs.get(address, ())

    def history_passes(self, address: str) -> bool:
        """Say whether an address may be asked for from History."""
        return Verb.HISTORY in self._verbs.get(address, ())

    def annotates(self, address: str) -> bool:
        """Say whether this role may draw on the pictures of an address."""
        return self.visible(address) and Verb.ANNOTATE in self._verbs.get(address, ())

    def visible(self, address: str) -> bool:
        """Say whether an address stands in this role's catalogue."""
        return self.passes(address) or self.history_passes(address)

    def of(self, delivery: Delivery) -> bytes | None:
        """Return the payload that leaves of a delivery, None when it stays."""
        if not self.passes(delivery.frame.address):
            return None
        return self.payload(delivery.frame, delivery.channel.kind)

    def payload(self, frame: Frame, kind: Kind) -> bytes | None:
        """Return what leaves of a frame that passes: its own bytes, cleaned ones, or None."""
        if identified(self.role) or kind in _NO_TEXT:
            return frame.payload
        try:
            if kind is Kind.ANNOTATION:
                return self._annotation(frame.payload)
            if kind in _PACKED_TEXT:
                return self.names.clean_packed(frame.payload)
            if kind is Kind.TEXT:
                return self.names.clean(frame.payload.decode()).encode()
        except (CodecError, *UNREADABLE):
            return None
        return None  # a kind nobody thought of

    def text(self, text: str) -> str:
        """Return a text for this role."""
        return text if identified(self.role) else self.names.clean(text)

    def author(self, author: str) -> str:
        """Return an author for this role: outsiders read only the gateway's own role labels."""
        if identified(self.role) or AUTHOR.match(author):
            return author
        return UNNAMED_AUTHOR

    def catalogue(self) -> dict[str, Any]:
        """Return the catalogue for this role as plain values, with every field present."""
        source = self.source
        inside = identified(self.role)
        case = {"en": f"Case {self.case_number}", "ja": f"症例 {self.case_number}"}
        devices = {}
        for name, device in source.devices.items():
            channels = {
                channel.name: self._channel(device.name, channel)
                for channel in device.channels.values()
                if self.visible(f"{source.workspace}/{name}/{channel.name}")
            }
            if channels or inside:
                devices[name] = self._device(device, channels)
        return {
            "workspace": source.workspace,
            "version": source.version,
            "replay": source.replay,
            "title": source.title if inside else case,
            "case": source.case if inside else case["en"],
            "time_zone": source.time_zone,
            "devices": devices,
            "volumes": {
                frame: file
                for frame, file in source.volumes.items()
                if inside or not self.names.inside(f"{frame} {file}")
            },
        }

    def _device(self, device: Device, channels: dict[str, Any]) -> dict[str, Any]:
        inside = identified(self.role)
        return {
            "name": device.name,
            "provider": device.provider,
            "label": self._labels(device.label),
            "state": device.state.value,
            "reason": device.reason if inside else "",
            "epoch": device.epoch,
            "channels": channels,
            "commands": msgspec.to_builtins(device.commands) if inside else {},
        }

    def _channel(self, device: str, channel: Channel) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.structs.asdict(channel)
        plain["kind"] = channel.kind.value
        plain["sensitivity"] = channel.sensitivity.value
        plain["label"] = self._labels(channel.label)
        if not identified(self.role):
            plain["attrs"] = {
                key: value
                for key, value in channel.attrs.items()
                if self._plain(key, value) and not self.names.inside(key)
            }
            plain["numeric_of"] = [
                name
                for name in channel.numeric_of
                if self.visible(f"{self.source.workspace}/{device}/{name}")
            ]
        return plain

    def _plain(self, key: str, value: Any) -> bool:
        """Say whether an attribute names nobody: numbers, and two short words of navigation."""
        if key == "axis":
            return isinstance(value, str) and _AXIS.fullmatch(value) is not None
        if key == "maps_from":
            return isinstance(value, str) and not self.names.inside(value)
        return _only_numbers(value)

    def _labels(self, label: dict[str, str]) -> dict[str, str]:
        return {language: self.text(text) for language, text in label.items()}

    def _annotation(self, payload: bytes) -> bytes:
        note = _annotation.decode(payload)
        author, text, name = self.author(note.author), self.text(note.text), self.text(note.id)
        if (author, text, name) == (note.author, note.text, note.id):
            return payload
        return msgspec.msgpack.encode(
            msgspec.structs.replace(note, author=author, text=text, id=name)
        )


_AXIS = re.compile(r"[+-][xyz]")


def _only_numbers(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_only_numbers(item) for item in value)
    return value is None or isinstance(value, bool | int | float)
