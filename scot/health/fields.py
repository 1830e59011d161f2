"""The event ``health``: its fields, their units in the catalogue, and how it is read.

One event a second for each device, the broker (``room/health``), the recorder and the dashboard
(``consult/health``): a number that belongs to another is beside it, and nothing floods the bus.
The catalogue declares every field in the channel's ``attrs["fields"]``: dotted name to UCUM unit
and labels, so that a machine that never heard of a field can show, store and plot it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from scot.channel import Channel, Event
from scot.codec import check_bounds
from scot.errors import UNREADABLE, CodecError

STALE_AFTER_S = 3.0

_Field = tuple[str, str, str]  # UCUM unit, English, Japanese

_TIMES: dict[str, _Field] = {
    "bound_ns": ("ns", "surely within", "確実な誤差"),
    "err_ns": ("ns", "likely within", "推定誤差"),
}


def _lanes(prefix: str) -> dict[str, _Field]:
    """Fields of one direction, for samples (ctl) and for video and images (bulk)."""
    found: dict[str, _Field] = {}
    for lane, en, ja in (("ctl", "signals", "信号"), ("bulk", "video", "映像")):
        found |= {
            f"{prefix}.{lane}.samples": ("{sample}", f"{en}, since start", f"{ja} 累計"),
            f"{prefix}.{lane}.bytes": ("By", f"{en}, since start", f"{ja} 累計"),
            f"{prefix}.{lane}.samples_hz": ("{sample}/s", f"{en}, rate", f"{ja} 毎秒"),
            f"{prefix}.{lane}.bytes_hz": ("By/s", f"{en}, rate", f"{ja} 毎秒"),
        }
    return found


COMMON: dict[str, _Field] = {
    "age_s": ("s", "age of the newest sample", "最新データの経過時間"),
    **{f"times.{name}": field for name, field in _TIMES.items()},
    "times.accuracy_ns": ("ns", "accuracy the device declares", "機器申告の精度"),
    **{f"clock.{name}": field for name, field in _TIMES.items()},
    "clock.epoch": ("{step}", "steps of the host's clock", "時計の飛び"),
    "clock.map_age_s": ("s", "since the last probe", "最終同期から"),
    **_lanes("sent"),
    "sent.ctl.waiting": ("{sample}", "signals waiting for credit", "送信待ち信号"),
    "sent.bulk.waiting": ("{sample}", "pictures waiting for credit", "送信待ち映像"),
    "sent.ctl.dropped": ("{sample}", "signals given up", "破棄した信号"),
    "sent.bulk.dropped": ("{sample}", "pictures given up", "破棄した映像"),
    "held": ("{sample}", "waiting for credit", "送信待ち"),
    "dropped": ("{sample}", "given up before they were sent", "破棄"),
    "samples": ("{sample}", "taken from the device", "取得数"),
    "reconnects": ("{connection}", "reconnects to the device", "再接続"),
    "rejoined": ("{connection}", "times the broker was a new one", "ブローカー再接続"),
    "restarts": ("{start}", "times the process was started again", "再起動"),
}
LISTENING: dict[str, _Field] = {
    **_lanes("received"),
    "received.missing": ("{sample}", "missing now", "欠落中"),
    "received.backfilled": ("{sample}", "asked back from History", "補完"),
    "received.duplicates": ("{sample}", "came twice, taken once", "重複"),
    "received.malformed": ("{sample}", "could not be read", "不正"),
}
RECORDER: dict[str, _Field] = {
    "bytes": ("By", "written", "書込み"),
    "bytes_hz": ("By/s", "written, rate", "書込み速度"),
    "waiting_bytes": ("By", "not yet written", "書込み待ち"),
    "lost": ("{sample}", "could not be written", "記録できず"),
    "spared": ("{sample}", "pictures not recorded, so that signals are", "未記録の映像"),
    "disk_left_bytes": ("By", "disk left", "残量"),
    "disk_left_s": ("s", "disk left at the present rate", "残り時間"),
    "segment": ("{journal}", "number of the open journal", "記録中の番号"),
    "sealing": ("{journal}", "journals to be sealed", "封緘待ち"),
}
DASHBOARD: dict[str, _Field] = {
    "viewers": ("{page}", "open pages", "視聴"),
    "refused": ("{request}", "refused at the door", "拒否"),
    "malformed": ("{message}", "malformed messages of pages", "不正"),
    "left_out": ("{sample}", "not sent to slow pages", "間引き"),
    "unshown": ("{sample}", "pictures no page asked for", "未表示の映像"),
    "queued_bytes": ("By", "waiting for all pages", "送信待ち"),
    "slowest_bytes": ("By", "waiting for the slowest page", "最遅の送信待ち"),
}
BROKER: dict[str, _Field] = {
    "forwarded": ("{sample}", "forwarded", "中継"),
    "forwarded_hz": ("{sample}/s", "forwarded, rate", "中継 毎秒"),
    "admitted": ("{connection}", "connections with a key of the room", "接続許可"),
    "refused": ("{connection}", "connections without one", "接続拒否"),
    "denied": ("{message}", "samples and subscriptions no grant holds", "権限外"),
    "misasked": ("{request}", "requests to the desk that were refused", "要求拒否"),
    "subscriptions": ("{subscription}", "prefixes that are listened to", "購読"),
    "questions": ("{request}", "History questions under way", "照会中"),
    "probes_refused": ("{probe}", "clock probes refused", "同期拒否"),
    "roster": ("{version}", "number of the roster of keys in force", "鍵名簿の版"),
    "cuts": ("{connection}", "connections cut: revoked or expired keys", "切断"),
    "half_open_ended": ("{connection}", "handshakes ended: too many at once", "未完了の接続を切断"),
    "shut_out": ("{address}", "network addresses shut out for a while", "一時遮断"),
    "unjudged": ("{connection}", "handshakes that could not be judged", "判定不能"),
    "audit_lost": ("{row}", "rows of the audit that could not be written", "監査記録の欠落"),
    "faults": ("{fault}", "messages whose handling failed", "内部エラー"),
}


def declare(*more: dict[str, _Field]) -> Channel:
    """Return the channel ``health`` with the fields every process has, and `more`."""
    return _event(COMMON, *more)


def declare_broker() -> Channel:
    """Return the channel ``health`` of the room itself, which the broker publishes."""
    return _event(BROKER)


def _event(*groups: dict[str, _Field]) -> Channel:
    fields = {
        name: {"unit": unit, "label": {"en": en, "ja": ja}}
        for group in groups
        for name, (unit, en, ja) in group.items()
    }
    label = {"en": "Health", "ja": "状態"}
    return Event("health", label=label, stale_after_s=STALE_AFTER_S, attrs={"fields": fields})


HEALTH = declare()

_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Amount = Annotated[float, Meta(ge=0)]
_Text = Annotated[str, Meta(max_length=2_000)]
_Counts = Annotated[dict[str, _Count], Meta(max_length=1_000)]


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One class of samples in one direction; `waiting` and `dropped` where they are sent."""

    samples: _Count = 0
    bytes: _Count = 0
    samples_hz: _Amount = 0.0
    bytes_hz: _Amount = 0.0
    waiting: _Count = 0
    dropped: _Count = 0


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What a process has published of a device."""

    ctl: Lane = Lane()
    bulk: Lane = Lane()


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that listens has got, and what it misses."""

    ctl: Lane = Lane()
    bulk: Lane = Lane()
    missing: _Count = 0
    backfilled: _Count = 0
    duplicates: _Count = 0
    malformed: _Count = 0


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How well times are known: of a device's newest samples, or of its host's clock.

    Attributes:
        state: the worst, as `scot.timestamp.ClockState.label`.
        reason: why it is not locked, for people.
        accuracy_ns: of a device that answers no probes: how far it says its clock is from UTC.
        epoch: how often the clock stepped.
        map_age_s: since the last map.
    """

    state: _Text = ""
    reason: _Text = ""
    bound_ns: _Count | None = None
    err_ns: _Count | None = None
    accuracy_ns: _Count | None = None
    epoch: _Count = 0
    map_age_s: _Amount | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One ``health`` event as it is read; what a process does not say is None or empty.

    Attributes:
        silent: age in s of each channel that is older than it may be.
        denied_of: of the broker: what was denied, by key.
        refused_of: of the broker: connections refused, by reason.
        withheld_of: of the broker: tenths of a second in which a key had to wait, by key.
        probes_refused_of: of the broker: refused clock probes, by key.
        counts: every other count at its top level, such as a provider's own.
    """

    state: _Text = ""
    reason: _Text = ""
    age_s: float | None = None
    silent: dict[str, _Amount] = {}
    times: Times | None = None
    clock: Times | None = None
    sent: Sent = Sent()
    received: Received | None = None
    held: _Count = 0
    dropped: _Count = 0
    samples: _Count | None = None
    reconnects: _Count | None = None
    rejoined: _Count | None = None
    restarts: _Count | None = None
    bytes: _Count | None = None
    bytes_hz: _Amount | None = None
    waiting_bytes: _Count | None = None
    lost: _Count | None = None
    disk_left_bytes: int | None = None
    disk_left_s: _Amount | None = None
    sealing: _Count | None = None
    viewers: _Count | None = None
    refused: _Count | None = None
    malformed: _Count | None = None
    left_out: _Count | None = None
    unshown: _Count | None = None
    queued_bytes: _Count | None = None
    slowest_bytes: _Count | None = None
    forwarded: _Count | None = None
    forwarded_hz: _Amount | None = None
    admitted: _Count | None = None
    denied: _Count | None = None
    denied_of: _Counts = {}
    withheld_of: _Counts = {}
    misasked: _Count | None = None
    subscriptions: _Count | None = None
    questions: _Count | None = None
    probes_refused: _Count | None = None
    probes_refused_of: _Counts = {}
    roster: _Count | None = None
    refused_of: _Counts = {}
    cuts: _Count | None = None
    half_open_ended: _Count | None = None
    shut_out: _Count | None = None
    unjudged: _Count | None = None
    audit_lost: _Count | None = None
    faults: _Count | None = None
    counts: _Counts = {}


_KNOWN = frozenset(Health.__struct_fields__) | {"heads", "segment"}


def read(payload: bytes) -> Health:
    """Return a payload of ``health`` as it can be relied on: bounded, typed, nothing negative.

    Raises:
        CodecError: it is none; whoever publishes it is at fault, nobody else.
    """
    try:
        check_bounds(payload)
        said: Any = msgspec.msgpack.decode(payload)
        counts = {
            name: value
            for name, value in said.items()
            if name not in _KNOWN and type(value) is int and 0 <= value < 2**63
        }
        return msgspec.convert({**said, "counts": counts}, Health)
    except (*UNREADABLE, msgspec.ValidationError, AttributeError, TypeError) as error:
        raise CodecError(f"no health: {error}") from None
