"""One recording beside others: its addresses, times and words as the common axis has them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec

from scot.channel import Catalogue, Channel, Device, Kind
from scot.codec import Frame, topic
from scot.errors import UNREADABLE
from scot.history import HistoryReply, HistoryRequest
from scot.sample import AnnotationValue, Sample
from scot_replay.alignment import Anchor
from scot_replay.cast import CLOCK, NOT_OURS, published
from scot_replay.found import Found, with_headers
from scot_replay.recording import DirectoryRecording

LONGEST_NAME = 63
_encode = msgspec.msgpack.Encoder().encode
_note = msgspec.msgpack.Decoder(AnnotationValue)


class Side:
    """A recording that is one of several.

    Args:
        key: small letter, the first of all its devices' names.
        recording: it.
        workspace: of the common axis.
        anchor: its instant that the others' lie at.
        shift_ns: from its own bus time to the common one.
    """

    def __init__(
        self, key: str, recording: DirectoryRecording, workspace: str, anchor: Anchor, shift_ns: int
    ) -> None:
        self.key = key
        self.recording = recording
        self.workspace = workspace
        self.anchor = anchor
        self.shift_ns = shift_ns
        own = recording.catalogue.workspace
        held = [a for a in recording.held() if a.partition("/")[2] == CLOCK]
        known = [a for a in recording.catalogue.addresses() if _plays(a)]
        known += [a for a in held if a not in known]
        known += [a for a in published(recording) if a not in set(known)]
        self._out = {a: self.renamed(a) for a in known if a.startswith(f"{own}/")}
        self._in = {out: a for a, out in self._out.items()}

    # -- names

    def device(self, name: str) -> str:
        """Return a device's name on the common axis: ``a_monitor``."""
        out = f"{self.key}_{name}"
        if len(out) > LONGEST_NAME:
            out = f"{out[:54]}_{zlib.crc32(name.encode()):08x}"
        return out

    def renamed(self, address: str) -> str:
        """Return an address on the common axis."""
        _, device, name = address.split("/", 2)
        return f"{self.workspace}/{self.device(device)}/{name}"

    def own(self, address: str) -> str | None:
        """Return an address as this recording has it; None when it is another's."""
        return self._in.get(address)

    def addresses(self) -> dict[str, str]:
        """Return each address on the common axis, by its own."""
        return self._out

    # -- what it is

    def channel(self, channel: Channel) -> Channel:
        """Return a channel's description: its frame of reference is this recording's alone."""
        if not channel.frame:
            return channel
        return msgspec.structs.replace(channel, frame=f"{self.key}_{channel.frame}")

    def catalogue(self, catalogue: Catalogue) -> Catalogue:
        """Return a version of its catalogue, of the common workspace."""
        devices = {}
        for name, device in catalogue.devices.items():
            channels = {
                channel.name: self.channel(channel)
                for channel in device.channels.values()
                if f"{catalogue.workspace}/{name}/{channel.name}" in self._out
            }
            if channels:
                made = self._device(device, channels)
                devices[made.name] = made
        volumes = {f"{self.key}_{frame}": file for frame, file in catalogue.volumes.items()}
        return Catalogue(workspace=self.workspace, replay=True, devices=devices, volumes=volumes)

    def _device(self, device: Device, channels: dict[str, Channel]) -> Device:
        label = {
            language: f"{self.key.upper()} · {text}"
            for language, text in (device.label or {"en": device.name}).items()
        }
        epoch = device.epoch + self.shift_ns if device.epoch else 0
        return msgspec.structs.replace(
            device,
            name=self.device(device.name),
            label=label,
            epoch=max(0, epoch),
            channels=channels,
            commands={},
        )

    # -- what it says

    def found(self, one: Found) -> Found:
        """Return a sample on the common axis: later or earlier, and as well known as it was."""
        address = self._out[one.address]
        header = msgspec.structs.replace(
            one.header,
            epoch=max(0, one.header.epoch + self.shift_ns),
            bus_ns=one.header.bus_ns + self.shift_ns,
        )
        payload = one.frame.payload
        if self.recording.channel(one.address).kind is Kind.ANNOTATION:
            payload = self._noted(payload)
        frame = Frame(topic(address), _encode(header), payload)
        return Found(header.bus_ns, address, header.epoch, header.seq, header, frame)

    def sample(self, sample: Sample) -> Sample:
        """Return a decoded sample on the common axis."""
        value = sample.value
        if isinstance(value, AnnotationValue):
            value = self._note(value)
        time = msgspec.structs.replace(sample.time, bus_ns=sample.time.bus_ns + self.shift_ns)
        return msgspec.structs.replace(
            sample,
            address=self._out[sample.address],
            epoch=sample.epoch + self.shift_ns,
            time=time,
            value=value,
        )

    def stream(self, addresses: list[str], between: tuple[int, int]) -> Iterator[Found]:
        """Yield the samples of its own addresses in [from, to) of the common axis."""
        span = between[0] - self.shift_ns, between[1] - self.shift_ns
        return map(self.found, self.recording.stream(addresses, span))

    def found_all(self, addresses: list[str], bus_ns: int) -> list[Found]:
        """Return the last of each of its own addresses at an instant of the common axis."""
        found = self.recording.found_all(addresses, bus_ns - self.shift_ns)
        return [self.found(one) for one in found]

    def history(self, ask: HistoryRequest, addresses: list[str]) -> HistoryReply:
        """Answer History for its own addresses, in common time."""
        shift_ns = self.shift_ns
        reply = self.recording.history(
            msgspec.structs.replace(
                ask,
                addresses=addresses,
                at=None if ask.at is None else max(0, ask.at - shift_ns),
                between=None
                if ask.between is None
                else (max(0, ask.between[0] - shift_ns), max(0, ask.between[1] - shift_ns)),
                seqs=None
                if ask.seqs is None
                else (max(0, ask.seqs[0] - shift_ns), ask.seqs[1], ask.seqs[2]),
            )
        )
        frames = [
            self.found(one).frame
            for frame in reply.frames
            for one in with_headers(frame.address, [frame])
        ]
        first_ns, next_ns = (
            None if t is None else t + shift_ns for t in (reply.first_ns, reply.next_ns)
        )
        levels = {self._out[a]: one.moved(shift_ns) for a, one in reply.levels.items()}
        densities = {self._out[a]: one.moved(shift_ns) for a, one in reply.densities.items()}
        return HistoryReply(
            frames=frames,
            complete=reply.complete,
            next_ns=next_ns,
            first_ns=first_ns,
            levels=levels,
            densities=densities,
        )

    def _noted(self, payload: bytes) -> bytes:
        try:
            return _encode(self._note(_note.decode(payload)))
        except UNREADABLE:
            return payload

    def _note(self, note: AnnotationValue) -> AnnotationValue:
        """Return a note whose picture and moment are those of the common axis."""
        return msgspec.structs.replace(
            note,
            id=f"{self.key}:{note.id}",
            channel=self._out.get(note.channel, note.channel),
            at_ns=note.at_ns + self.shift_ns,
        )


def _plays(address: str) -> bool:
    rest = address.partition("/")[2]
    return rest == CLOCK or rest.partition("/")[0] not in NOT_OURS
