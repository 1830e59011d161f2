"""The broker's part in commands: says who calls, whether they may, and to whom it goes. Sans-IO.

It decides nothing about a device and remembers nothing but who waits for an answer: a broker that
is restarted forgets no command.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from scot.access import Grant
from scot.codec import check_bounds
from scot.command import (
    MAX_TEXT,
    Answer,
    Call,
    Caller,
    Offer,
    Outcome,
    Request,
    Standing,
    State,
    Why,
    device_of,
    refusal_step,
)
from scot.errors import BusError, CodecError

MAX_BODY: Final = 8_192
MAX_WAITING: Final = 64
"""Calls of one key that may wait for an answer."""
MAX_REFUSED: Final = 1_000
ANSWER_WITHIN_NS: Final = 10_000_000_000

_call = msgspec.msgpack.Decoder(Call)
_answer = msgspec.msgpack.Decoder(Answer)
_encode = msgspec.msgpack.Encoder().encode


class Out(NamedTuple):
    """A message for one client: ``[request id, verb or status, body]``."""

    identity: bytes
    parts: list[bytes]


class _Waiting(NamedTuple):
    client: bytes
    user: str
    request_id: bytes
    host: str
    due_ns: int


class Routes:
    """Carries calls to the hosts of devices, and answers back.

    Args:
        workspace: whose addresses these are.
        replay: a recording is played: everything is refused.
        audit: told each refusal, as a step of the room's channel ``commands``.
    """

    def __init__(
        self, workspace: str, replay: bool, audit: Callable[[dict[str, Any]], None]
    ) -> None:
        self.workspace = workspace
        self.replay = replay
        self._audit = audit
        self._waiting: dict[bytes, _Waiting] = {}
        self._refused: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._count = 0

    def on_call(
        self,
        client: bytes,
        grant: Grant,
        request_id: bytes,
        body: bytes,
        host_of: Callable[[str], tuple[str, bytes] | None],
        grants: dict[str, Grant],
        now_ns: int,
    ) -> list[Out]:
        """Take a call from a client.

        Args:
            client: where it came from.
            grant: of the key that the client proved to have.
            request_id: the client's own.
            body: of the message.
            host_of: the live host of a device, by name: its key and where it is.
            grants: of everybody, by name.
            now_ns: monotonic.

        Raises:
            CodecError: it is no call, or too large.
            BusError: too many wait.
        """
        call = read_call(body)
        why, text, host = self._judge(call, grant, host_of, grants)
        key = (grant.name, call.key) if isinstance(call, Request) else None
        if key is not None and key in self._refused:  # refused is refused, should it come again
            return [Out(client, [request_id, b"ok", self._refused[key]])]
        if host is None:
            answer = _encode(_refusal(call, grant, why, text))
            if key is not None:
                self._remember(key, answer)
            self._audit(refusal_step(call, Caller(grant.name, grant.role), why, text))
            return [Out(client, [request_id, b"ok", answer])]
        mine = sum(waiting.user == grant.name for waiting in self._waiting.values())
        if mine >= MAX_WAITING:
            raise BusError(f"{MAX_WAITING} calls of key {grant.name!r} wait for an answer already")
        self._count += 1
        ticket = b"c" + self._count.to_bytes(8, "big")
        user, place = host
        due_ns = now_ns + ANSWER_WITHIN_NS
        self._waiting[ticket] = _Waiting(client, grant.name, request_id, user, due_ns)
        return [Out(place, [ticket, b"command", _encode([Caller(grant.name, grant.role), call])])]

    def on_answer(self, user: str, key: bytes, body: bytes) -> list[Out]:
        """Take a host's answer back to whoever waits for it.

        Raises:
            CodecError: nobody asked this host, or it is no answer.
        """
        waiting = self._waiting.get(key)
        if waiting is None or waiting.host != user:
            raise CodecError(f"nobody waits for this answer of {user!r}")
        if len(body) > MAX_BODY * 64:
            raise CodecError(f"an answer of {len(body)} bytes (limit {MAX_BODY * 64})")
        check_bounds(body)
        _answer.decode(body)
        del self._waiting[key]
        return [Out(waiting.client, [waiting.request_id, b"ok", body])]

    def tick(self, now_ns: int) -> list[Out]:
        """Tell whoever waits too long that there is no answer: not that nothing happened."""
        late = [key for key, waiting in self._waiting.items() if waiting.due_ns < now_ns]
        out = []
        for key in late:
            waiting = self._waiting.pop(key)
            text = f"{waiting.host!r} did not answer within {ANSWER_WITHIN_NS / 1e9:g} s"
            out.append(Out(waiting.client, [waiting.request_id, b"no", _encode(text)]))
        return out

    def _remember(self, key: tuple[str, str], refusal: bytes) -> None:
        self._refused[key] = refusal
        if len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)

    def _judge(
        self,
        call: Call,
        grant: Grant,
        host_of: Callable[[str], tuple[str, bytes] | None],
        grants: dict[str, Grant],
    ) -> tuple[Why, str, tuple[str, bytes] | None]:
        """Return the host the call goes to, or why it goes nowhere."""
        workspace, _, rest = call.address.partition("/")
        device = rest.partition("/")[0]
        if self.replay:
            return Why.REPLAY, "this is a recording: nothing in it can be commanded", None
        if not may_call(grant, call.address):
            text = (
                f"key {grant.name!r} may not command {call.address!r}; "
                "a [[control]] in the room file grants it"
            )
            return Why.GRANT, text, None
        if isinstance(call, Offer) and not may_call(
            grants.get(call.to, Grant(name="")), call.address
        ):
            text = f"{call.to!r} may not command {call.address!r}: it cannot be handed to them"
            return Why.GRANT, text, None
        host = host_of(device) if workspace == self.workspace else None
        if host is None:
            return Why.NO_DEVICE, f"no device {device!r} is here, or its host is silent", None
        return Why.NONE, "", host


def read_call(body: bytes) -> Call:
    """Read a call, within bounds.

    Raises:
        CodecError: it is too large, or a text in it is too long.
        msgspec.DecodeError: it is no call.
    """
    if len(body) > MAX_BODY:
        raise CodecError(f"a call of {len(body)} bytes (limit {MAX_BODY})")
    check_bounds(body)
    call: Call = _call.decode(body)
    texts = [call.address, getattr(call, "key", ""), getattr(call, "id", "")]
    texts.append(call.to if isinstance(call, Offer) else "")
    if any(len(text) > MAX_TEXT for text in texts):
        raise CodecError(f"a call with a text of more than {MAX_TEXT} characters")
    return call


def may_call(grant: Grant, address: str) -> bool:
    """Whether a grant holds a command, or of a device's address any of its commands."""
    if address.count("/") == 1:
        device = f"{address}/"
        return any(p.startswith(device) or device.startswith(p) for p in grant.command if p)
    return grant.may_command(address)


def _refusal(call: Call, grant: Grant, why: Why, text: str) -> Answer:
    if not isinstance(call, Request):
        return Standing(address=device_of(call.address), why=why, text=text)
    return Outcome(
        address=call.address,
        key=call.key,
        state=State.REFUSED,
        why=why,
        text=text,
        arguments=call.arguments,
        caller=grant.name,
        role=grant.role,
        term=call.term,
        issued_ns=call.issued_ns,
        expires_ns=call.expires_ns,
    )
