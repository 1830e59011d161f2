"""Who may publish, read, announce and command what: default deny, no sockets.

A grant is a list of prefixes. An address is granted when it starts with one of them; a
subscription is granted when its own prefix lies *inside* one of them, so that asking for less
than was granted never yields more.

Grants belong to a holder, by name. A holder may have several keys, which is how one is rotated:
the old one and the new one are valid for a while, and are the same holder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from scot.channel import NAME
from scot.errors import AccessError

MAX_SUBSCRIPTIONS = 1000
MAX_QUESTIONS_HZ = 1_000.0  # of the desk, by one key
MAX_KEYS = 10_000
FAR_NS = 1 << 62
STRANGER = "stranger"


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How much may come, on average over a second."""

    messages_hz: float
    bytes_hz: float


class Quota(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much one holder may ask of the broker; None is without limit.

    Attributes:
        ctl: samples that are not video or images.
        bulk: video and images.
        subscriptions: prefixes held on each of the two sockets.
        history_bytes_hz: answers of History, bytes a second.
        questions_hz: of the desk, whatever they ask; a second's worth may come at once.
    """

    ctl: Rate | None = None
    bulk: Rate | None = None
    subscriptions: int = MAX_SUBSCRIPTIONS
    history_bytes_hz: float | None = None
    questions_hz: float = MAX_QUESTIONS_HZ


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one holder may do.

    Attributes:
        name: who holds the key; it is the device's name for a device.
        publish: prefixes of addresses it may publish.
        subscribe: prefixes it may read, live and from History.
        devices: names it may announce; ``*`` for any (a player of recordings).
        serve: may answer History for others' channels (recorder, player).
        command: prefixes of the commands it may give (``or1/monitor/``); nobody has any unless
            a room file or the roster says so.
        role: what its holder is when giving commands (``or_staff``).
        quota: how much of each.
    """

    name: str
    publish: list[str] = []
    subscribe: list[str] = []
    devices: list[str] = []
    serve: bool = False
    command: list[str] = []
    role: str = ""
    quota: Quota = Quota()

    def may_publish(self, address: str) -> bool:
        """Whether a sample of `address` is accepted from this key."""
        return address.startswith(tuple(self.publish))

    def may_read(self, prefix: str) -> bool:
        """Whether this key may read everything that starts with `prefix`."""
        return prefix.startswith(tuple(self.subscribe))

    def may_command(self, address: str) -> bool:
        """Whether this key may give the command at `address` (``or1/monitor/nibp_start``)."""
        return address.startswith(tuple(self.command))

    def may_announce(self, device: str) -> bool:
        """Whether this key may put `device` into the catalogue."""
        return "*" in self.devices or device in self.devices


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key of a holder. Times are UTC, ns.

    Attributes:
        holder: whose it is.
        since_ns: when it was put on the roster, for people to read.
        until_ns: not valid from then on; None for as long as it is on the roster.
        revoked_ns: when it was revoked.
        reason: why, in words.
    """

    holder: str
    since_ns: int = 0
    until_ns: int | None = None
    revoked_ns: int | None = None
    reason: str = ""

    def why_not(self, now_ns: int) -> str:
        """Return why it is not valid at `now_ns`; empty when it is."""
        if self.revoked_ns is not None:
            return "revoked"
        if self.until_ns is not None and now_ns >= self.until_ns:
            return "expired"
        return ""


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """Every holder with its grant, and every key by its CURVE public key (Z85).

    Attributes:
        workspace: which room's.
        serial: one more with each change.
        holders: grants by name.
        keys: by public key; revoked ones stay, so that they cannot come back.
    """

    workspace: str = ""
    serial: int = 0
    holders: dict[str, Grant] = {}
    keys: dict[str, Key] = {}

    @classmethod
    def of(cls, grants: dict[str, Grant]) -> Roster:
        """Return a roster of grants by public key, one key a holder, without an end."""
        return cls(
            holders={grant.name: grant for grant in grants.values()},
            keys={public: Key(holder=grant.name) for public, grant in grants.items()},
        )

    def text(self) -> bytes:
        """Return it as JSON of many lines, keys in order: the same roster, the same bytes."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"

    @classmethod
    def parse(cls, text: bytes, where: str | Path) -> Roster:
        """Read what `text` returned.

        Raises:
            AccessError: it is no roster, or contradicts itself.
        """
        try:
            roster = msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise AccessError(f"{where}: not a roster of keys ({error})") from None
        if len(roster.keys) > MAX_KEYS:
            raise AccessError(f"{where}: {len(roster.keys)} keys (limit {MAX_KEYS})")
        for name, grant in roster.holders.items():
            if grant.name != name or not NAME.fullmatch(name):
                raise AccessError(f"{where}: {name!r} is no name of a holder")
        for public, key in roster.keys.items():
            if key.holder not in roster.holders:
                which = fingerprint(public)
                raise AccessError(
                    f"{where}: key {which} belongs to {key.holder!r}, who has no grant"
                )
        return roster

    def with_holder(self, grant: Grant) -> Roster:
        """Return the next roster, with `grant` new or changed."""
        return self._next(holders={**self.holders, grant.name: grant})

    def with_key(self, public: str, key: Key) -> Roster:
        """Return the next roster, with one more key.

        Raises:
            AccessError: the key is known already, or its holder is not.
        """
        if public in self.keys:
            raise AccessError(f"key {fingerprint(public)} is on the roster already; make a new one")
        if key.holder not in self.holders:
            raise AccessError(f"{key.holder!r} has no grant; `scot keys add {key.holder}` first")
        return self._next(keys={**self.keys, public: key})

    def ending(self, publics: Iterable[str], until_ns: int) -> Roster:
        """Return the next roster, in which some keys end at `until_ns`, or sooner as they did."""
        ended: dict[str, Key] = {}
        for public in publics:
            key = self.keys[public]
            end_ns = until_ns if key.until_ns is None else min(key.until_ns, until_ns)
            ended[public] = msgspec.structs.replace(key, until_ns=end_ns)
        return self._next(keys={**self.keys, **ended})

    def revoking(self, publics: Iterable[str], now_ns: int, reason: str) -> Roster:
        """Return the next roster, in which some keys are revoked."""
        gone = {
            public: msgspec.structs.replace(self.keys[public], revoked_ns=now_ns, reason=reason)
            for public in publics
        }
        return self._next(keys={**self.keys, **gone})

    def valid(self, holder: str, now_ns: int) -> list[str]:
        """Return the public keys of a holder that are valid at `now_ns`."""
        return [
            public
            for public, key in self.keys.items()
            if key.holder == holder and not key.why_not(now_ns)
        ]

    def _next(
        self, holders: dict[str, Grant] | None = None, keys: dict[str, Key] | None = None
    ) -> Roster:
        return msgspec.structs.replace(
            self,
            serial=self.serial + 1,
            holders=self.holders if holders is None else holders,
            keys=self.keys if keys is None else keys,
        )


class Access:
    """Which keys may enter now, and what their holders may: the room's own and the roster's.

    A holder of the roster that has the name of one of the room's own is left out, and named in
    `shadowed`: nobody from elsewhere can be taken for a part of the room.

    Args:
        own: keys of the room's own processes, made at this start.
        standing: keys that outlive a start.
        now_ns: UTC.

    Attributes:
        valid: holders by the public keys that are valid now.
        grants: what each holder may.
    """

    def __init__(self, own: Roster, standing: Roster | None = None, now_ns: int = 0) -> None:
        self.own = own
        self.standing = standing or Roster()
        self.grants: dict[str, Grant] = {}
        self.shadowed: list[str] = []
        self.valid: dict[str, str] = {}
        self._at_ns = now_ns
        self._change_ns = FAR_NS
        self._judge_all(now_ns)

    def holder(self, public: str) -> str:
        """Return whose key it is; empty when it is nobody's, or not valid now."""
        return self.valid.get(public, "")

    def why_not(self, public: str, now_ns: int) -> str:
        """Return in one word why a key may not enter; empty when it may."""
        if public in self.valid:
            return ""
        key = self.standing.keys.get(public)
        if key is None:
            return STRANGER
        if key.holder in self.shadowed:
            return "shadowed"
        return key.why_not(now_ns) or STRANGER

    def replace(self, standing: Roster, now_ns: int) -> set[str]:
        """Take a new roster; return the public keys that are no longer valid."""
        self.standing = standing
        return self._judge_all(now_ns)

    def tick(self, now_ns: int) -> set[str]:
        """Return the public keys that have expired since the last time."""
        if self._at_ns <= now_ns < self._change_ns:
            return set()
        return self._judge_all(now_ns)

    def _judge_all(self, now_ns: int) -> set[str]:
        before = self.valid
        standing = self.standing
        self.shadowed = sorted(standing.holders.keys() & self.own.holders.keys())
        self.grants = {**standing.holders, **self.own.holders}
        self.valid = {
            public: key.holder
            for public, key in standing.keys.items()
            if not key.why_not(now_ns) and key.holder not in self.own.holders
        }
        self.valid |= {public: key.holder for public, key in self.own.keys.items()}
        ends = (key.until_ns for key in standing.keys.values() if key.until_ns is not None)
        self._change_ns = min((end for end in ends if end > now_ns), default=FAR_NS)
        self._at_ns = now_ns
        return before.keys() - self.valid.keys()


def fingerprint(public: str) -> str:
    """Return eight hexadecimal digits that tell a public key apart in a log or on a command line.

    Z85 itself holds what a shell would take for its own.
    """
    return hashlib.sha256(public.encode()).hexdigest()[:8]


def write_private(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Args:
        path: replaced in one step.
        data: all of it.
        durable: it must also outlive a power cut.
    """
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)  # what an interrupted write left, with whatever mode
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


def state_folder(workspace: str) -> Path:
    """Return the folder of a workspace's keys and facts (``SCOT_STATE`` moves it)."""
    base = os.environ.get("SCOT_STATE")
    if base is None:
        home = os.environ.get("XDG_STATE_HOME", str(Path.home() / ".local" / "state"))
        base = str(Path(home) / "scot")
    return Path(base) / workspace


def read_private(path: Path) -> bytes:
    """Read a file that only its owner can read.

    Raises:
        AccessError: others can, or it is not ours, or cannot be read; names the fix.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            mode = stat.S_IMODE(about.st_mode)
            if mode & 0o077:
                raise AccessError(
                    f"{path}: mode {mode:o}, others can use it; chmod 600 {path}, and rotate what "
                    "it holds if somebody may have read it"
                )
            if about.st_uid not in (os.geteuid(), 0):
                raise AccessError(f"{path}: belongs to user {about.st_uid}; chown it to yourself")
            return file.read()
    except OSError as error:
        raise AccessError(f"{path}: cannot be read ({error.strerror})") from None
