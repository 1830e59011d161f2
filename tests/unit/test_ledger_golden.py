"""The bytes of the ledger's format are those of the documentation: golden vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scot.note import Signer
from scot_replay.journal import RecordKind
from scot_replay.ledger.checkpoint import Checkpoint, cosign, cosigned, opened
from scot_replay.ledger.entry import (
    Begin,
    Block,
    End,
    Entry,
    Erased,
    Head,
    Redaction,
    Sealed,
    Shredded,
    Stretch,
    block,
    decode_entry,
    encode_entry,
    record_leaf,
    salt,
)
from scot_replay.ledger.log import MAGIC, Item, encode_line
from scot_replay.ledger.merkle import Frontier, leaf_hash

PATH = Path(__file__).parents[1] / "golden" / "ledger.json"
SEED, KEYS = bytes(range(32)), [(7, 0, 1000), (7, 1, 2000), (9, 0, 3000)]
BODIES = [b"\x04\x02or1\0\x93\x01", b"\x04\x02or1\0\x93\x02", b""]
SIGNER = Signer("scot/golden", bytes(range(32, 64)))


def vectors() -> dict[str, Any]:
    """Return what the golden file holds, made by this code."""
    salts = [salt(SEED, key) for key in KEYS]
    leaves = [record_leaf(s, RecordKind.FRAME, b) for s, b in zip(salts, BODIES, strict=True)]
    made, opening = block(1, "or1/monitor/hr", list(zip(KEYS, leaves, strict=True)), SEED)
    entries: list[Entry] = [
        Begin("case", "scot/golden/case/00", "00", SIGNER.verifier.text(), "site", 3, b"\1" * 32),
        made,
        Sealed(1, 99, 3, 0, [Stretch(0, 90, b"\2" * 32, 1, 5, 6, ["or1/monitor/hr"]),
                             Stretch(90, 9, b"\3" * 32)]),
        Redaction("officer", "consent withdrawn", 4, ["or1/monitor/hr"], 1, 2,
                  [Erased(1, [(7, 0, 1)], 2)]),
        End(b"\4" * 32),
        Shredded("officer", "end of term", 5, "ab"),
        Head("/recordings/case", "scot/golden/case/00", 6, b"\5" * 32),
    ]  # fmt: skip
    tree = Frontier()
    encoded = [encode_entry(e, opening if e is made else None) for e in entries]
    for leaf, _ in encoded:
        tree.append(leaf_hash(leaf))
    head = Checkpoint("scot/golden/case/00", tree.size, tree.root())
    note = SIGNER.sign(head.text())
    line = cosign(SIGNER, head.text(), 1_800_000_000)
    return {
        "seed": SEED.hex(),
        "records": [
            {"key": list(key), "kind": 4, "body": body.hex(), "salt": s.hex(), "leaf": leaf.hex()}
            for key, body, s, leaf in zip(KEYS, BODIES, salts, leaves, strict=True)
        ],
        "block_root": made.root.hex(),
        "entries": [{"leaf": leaf.hex(), "opening": o.hex()} for leaf, o in encoded],
        "root": tree.root().hex(),
        "public_key": SIGNER.verifier.text(),
        "checkpoint": note.decode(),
        "cosignature": line.decode(),
        "file": (MAGIC + encode_line(Item.CHECKPOINT, note)).hex(),
    }


def test_the_format_is_that_of_the_golden_vectors() -> None:
    assert vectors() == json.loads(PATH.read_text())


def test_what_is_golden_is_read_back() -> None:
    golden = json.loads(PATH.read_text())
    for entry in golden["entries"]:
        leaf, opening = bytes.fromhex(entry["leaf"]), bytes.fromhex(entry["opening"])
        found = decode_entry(leaf, opening)
        assert encode_entry(found.entry, found.opening) == (leaf, opening)
        assert (found.opening is not None) == isinstance(found.entry, Block)
    note = golden["checkpoint"].encode()
    head = opened(note, SIGNER.verifier)
    assert head is not None
    assert head.root.hex() == golden["root"]
    said = cosigned(note + golden["cosignature"].encode(), SIGNER.verifier)
    assert said is not None
    assert said.at_s == 1_800_000_000
    forged = golden["cosignature"].replace("A", "B", 1).encode()
    assert cosigned(note + forged, SIGNER.verifier) is None
