"""The recorder's watch over itself: its health on the bus, and its technical alarms."""

from __future__ import annotations

from typing import Any

import msgspec

from scot.bus.connection import Connection
from scot.channel import Alarm, Device, Lifecycle, Sensitivity
from scot.errors import ScotError
from scot.health.fields import LISTENING, RECORDER, declare
from scot.sample import AlarmValue, Flags, Sample
from scot_replay.budget import WARN_LEFT_S
from scot_replay.writer import Facts

NAME = "recorder"
LABEL = {"en": "Recorder", "ja": "記録装置"}
LITTLE_DISK = 256 << 20
ALARMS = Alarm(
    "alarms",
    label={"en": "Recorder alarms", "ja": "記録装置アラーム"},
    sensitivity=Sensitivity.TECHNICAL,
    stale_after_s=3600.0,
)
HEALTH = declare(LISTENING, RECORDER)
TEXTS = {
    "disk-failing": {"en": "Recorder cannot write", "ja": "記録装置 書込み不可"},
    "disk-filling": {"en": "Recorder disk nearly full", "ja": "記録装置 残量わずか"},
    "samples-lost": {"en": "Recorder lost samples", "ja": "記録装置 データ欠落"},
    "video-spared": {"en": "Video not recorded: disk full", "ja": "映像記録停止 残量不足"},
    "not-signed": {"en": "Recording is not signed", "ja": "記録 署名なし"},
    "not-sealed": {"en": "Recorder keeps a journal unsealed", "ja": "記録装置 封緘失敗"},
}


class Vigil:
    """Says on the bus how the recorder stands.

    Args:
        connection: of the recorder.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._epoch = connection.clock.now()
        self._seq = 0
        self._alarms: dict[str, AlarmValue] = {}
        self._state = (Lifecycle.RUNNING, "")

    def device(self) -> Device:
        """Return the recorder's entry for the catalogue."""
        state, reason = self._state
        return Device(
            name=NAME,
            provider=NAME,
            label=LABEL,
            state=state,
            reason=reason,
            epoch=self._epoch,
            channels={ALARMS.name: ALARMS, HEALTH.name: HEALTH},
        )

    async def look(
        self, facts: Facts, sealing: str, waiting: int, keeps_s: float = 0.0, unsigned: str = ""
    ) -> None:
        """Say how the recorder stands.

        Args:
            facts: of the writer.
            sealing: why it failed, or empty.
            waiting: journals to be sealed.
            unsigned: why the last checkpoint is missing, or empty.
            keeps_s: only so much is kept until something triggers; 0: all is.
        """
        lost = sum(loss.count for loss in facts.lost.values())
        spared = "video is not recorded: the disk is nearly full" if facts.sparing else ""
        state = Lifecycle.DEGRADED if facts.trouble or facts.sparing else Lifecycle.RUNNING
        keeps = f"keeps only the last {keeps_s:g} s until it is triggered" if keeps_s else ""
        reason = facts.trouble or spared or sealing or unsigned or keeps
        self._connection.counters[NAME] = {
            "state": state.value,
            "reason": reason,
            "bytes": facts.bytes,
            "bytes_hz": round(facts.bytes_per_s, 1),
            "samples": facts.samples,
            "segment": facts.segment,
            "waiting_bytes": facts.waiting_bytes,
            "lost": lost,
            "lost_by_channel": msgspec.to_builtins(facts.lost),
            "spared": sum(loss.count for loss in facts.spared.values()),
            "disk_left_bytes": facts.disk_left_bytes,
            "disk_left_s": left_s(facts),
            "sealing": waiting,
        }
        self._alarm("disk-failing", "Hi", bool(facts.trouble))
        self._alarm("disk-filling", "Me", filling(facts))
        self._alarm("video-spared", "Me", facts.sparing)
        self._alarm("samples-lost", "Hi", lost > 0, value=float(lost))
        self._alarm("not-sealed", "Lo", bool(sealing))
        self._alarm("not-signed", "Lo", bool(unsigned))
        if (state, reason) != self._state:
            self._state = state, reason
            try:
                await self._connection.announce(self.device())
            except ScotError:
                self._state = Lifecycle.CREATED, ""  # the next look tries again

    def _alarm(self, name: str, priority: str, present: bool, **more: Any) -> None:
        """Publish an alarm when it comes, changes or goes."""
        before = self._alarms.get(name)
        if before is None and not present:
            return
        presence = "On" if present else "Off"
        value = AlarmValue(
            id=name, kind="Tec", priority=priority, present=present, presence=presence,
            text=TEXTS[name], **more,
        )  # fmt: skip
        if value == before:
            return
        self._alarms[name] = value
        address = f"{self._connection.workspace}/{NAME}/{ALARMS.name}"
        time = self._connection.clock.stamp()
        sample = Sample(address, self._epoch, self._seq, time, Flags(0), value)
        self._seq += 1
        self._connection.publish(sample, ALARMS)


def left_s(facts: Facts) -> float | None:
    """Return how long the disk lasts at the present rate, video included; None when unknown."""
    rate = max(facts.bytes_per_s, facts.offered_per_s)
    if facts.disk_left_bytes < 0 or rate <= 0:
        return None
    return round(facts.disk_left_bytes / rate, 1)


def filling(facts: Facts) -> bool:
    """Say whether less than ten minutes, or 256 MB, of disk are left."""
    seconds = left_s(facts)
    little = 0 <= facts.disk_left_bytes < LITTLE_DISK
    return little or (seconds is not None and seconds < WARN_LEFT_S)
