"""A signed note is believed as it was signed, by whom it was signed, and in no other case."""

from __future__ import annotations

import pytest

from scot.errors import AccessError
from scot.note import Signer, Verifier

# The key pair that Go's sumdb/note shows as its example: both text forms are from there.
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

SIGNER = Signer.new("scot/or1")
TEXT = b"one\ntwo\n"
NOTE = SIGNER.sign(TEXT)


def test_keys_have_the_text_forms_that_other_programs_use() -> None:
    signer = Signer.parse(GO_SECRET)
    assert signer.verifier.text() == GO_PUBLIC
    assert signer.text() == GO_SECRET
    assert Verifier.parse(GO_PUBLIC + "\n") == signer.verifier


def test_a_note_is_its_text_a_blank_line_and_a_line_of_signature() -> None:
    assert NOTE.startswith(TEXT + b"\n\xe2\x80\x94 scot/or1 ")
    assert NOTE.count(b"\n") == 4
    assert SIGNER.verifier.open(NOTE) == TEXT


def test_every_single_bit_that_is_turned_is_found() -> None:
    for place in range(len(NOTE)):
        for bit in range(8):
            changed = bytearray(NOTE)
            changed[place] ^= 1 << bit
            with pytest.raises(AccessError):
                SIGNER.verifier.open(bytes(changed))


def test_a_note_by_another_key_of_the_same_name_is_not_believed() -> None:
    with pytest.raises(AccessError, match="not signed by scot/or1"):
        Signer.new("scot/or1").verifier.open(NOTE)


def test_a_key_of_another_room_signs_for_that_room_only() -> None:
    other = Signer("scot/or2", SIGNER.seed)
    with pytest.raises(AccessError, match="not signed by scot/or1"):
        SIGNER.verifier.open(other.sign(TEXT))


def test_a_second_signature_that_nobody_knows_does_not_disturb() -> None:
    line = NOTE.rpartition(b"\n\n")[2]
    stranger = Signer.new("witness").sign(TEXT).rpartition(b"\n\n")[2]
    assert SIGNER.verifier.open(TEXT + b"\n" + stranger + line) == TEXT


@pytest.mark.parametrize("note", [b"", b"\n", b"\n\n", TEXT, TEXT + b"\n", NOTE[:-1], b"\xff" * 99])
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(AccessError):
        SIGNER.verifier.open(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scot",
        GO_PUBLIC[:-4],
        GO_PUBLIC.replace("c74f20a3", "c74f20a4"),
        GO_PUBLIC.replace("Peter", "Pete"),
        "+c74f20a3+" + GO_PUBLIC.split("+", 2)[2],
        GO_PUBLIC + "AAAA",
    ],
)
def test_a_key_that_was_changed_is_no_key(text: str) -> None:
    with pytest.raises(AccessError, match="is no Ed25519 key"):
        Verifier.parse(text)


def test_a_secret_that_was_changed_is_refused_and_not_shown() -> None:
    with pytest.raises(AccessError) as caught:
        Signer.parse(GO_SECRET[:-3] + "AAA")
    assert "AYEKFALV" not in str(caught.value)


def test_a_name_that_would_break_the_line_cannot_sign() -> None:
    for name in ("", "a b", "a+b", "a\nb"):
        with pytest.raises(AccessError, match="cannot sign"):
            Signer.new(name)
