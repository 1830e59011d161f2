"""MessagePack that no peer of ours sends: made to grow, to nest, to confuse, to crash."""

from __future__ import annotations

import math
import struct

import msgspec

_pack = msgspec.msgpack.Encoder().encode
_NAN = b"\xcb" + struct.pack(">d", math.nan)
_INF = b"\xcb" + struct.pack(">d", math.inf)
_MOST = b"\xcf" + b"\xff" * 8  # 2**64 - 1
_LEAST = b"\xd3" + b"\x80" + bytes(7)  # -2**63

BOMBS: dict[str, bytes] = {
    "nothing": b"",
    "depth 100,000 of lists": b"\x91" * 100_000 + b"\xc0",
    "depth 100,000 of maps": b"\x81\xa1a" * 100_000 + b"\xc0",
    "depth 9": b"\x91" * 9 + b"\xc0",
    "list of 2**32 - 1": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 64,
    "map of 2**32 - 1": b"\xdf\xff\xff\xff\xff" + b"\xa1a\xc0" * 64,
    "text of 2**32 - 1": b"\xdb\xff\xff\xff\xff" + b"a" * 64,
    "bytes of 2**32 - 1": b"\xc6\xff\xff\xff\xff" + b"a" * 64,
    "lists of lists of 65,535": (b"\xdc\xff\xff" * 8) + b"\xc0" * 64,
    "60,000 empty maps": b"\xdc\xea\x60" + b"\x80" * 60_000,
    "60,000 keys": b"\xde\xea\x60" + b"".join(_pack(f"{n:05}") + b"\xc0" for n in range(60_000)),
    "ext type": b"\xd4\x01\x00",
    "ext type in a map": b"\x81\xa1a\xc7\x03\x05abc",
    "ext of 2**32 - 1": b"\xc9\xff\xff\xff\xff\x01" + bytes(64),
    "timestamp ext": b"\xd7\xff" + b"\xff" * 8,
    "never used type": b"\xc1",
    "NaN as a key": b"\x82" + _NAN + b"\x01" + _NAN + b"\x02",
    "a map as a key": b"\x81\x80\x01",
    "the same key twice": b"\x82\xa1a\x01\xa1a\x02",
    "the same key 15 times": b"\x8f" + b"\xa5heads\x80" * 15,
    "numbers as keys": b"\x82\x01\x01\xcb" + struct.pack(">d", 1.0) + b"\x02",
    "2**64 - 1": _MOST,
    "-2**63": _LEAST,
    "extreme numbers": b"\x94" + _MOST + _LEAST + _NAN + _INF,
    "extreme numbers in a map": b"\x83\xa1a" + _MOST + b"\xa1b" + _LEAST + b"\xa1c" + _NAN,
    "text that is not UTF-8": b"\xa4\xff\xfe\xed\xa0",
    "half a surrogate": b"\xa3\xed\xa0\x80",
    "a true value and more": _pack({"a": 1}) + b"\x00",
    "cut short": _pack({"abcdef": [1, 2, 3]})[:-2],
    "deep heads": _pack({"heads": {"hr": [2**63 - 1, 2**63 - 1]}}),
    "heads that grow": _pack({"heads": {f"c{n}": [2**62, 2**62] for n in range(4_000)}}),
    "heads below nothing": _pack({"heads": {"hr": [-1, -(2**63)]}}),
}
