"""Time stamps of an authority (RFC 3161) over a checkpoint: it was there at that time.

The authority signs the SHA-256 of a checkpoint's text with its own clock. Its certificate is
checked up to a root that the verifier gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import rfc3161_client as tsp
from cryptography import x509

from scot.errors import RecordingError
from scot_replay.ledger.log import Item, Log
from scot_replay.ledger.read import Ledger, text_of
from scot_replay.ledger.witnessing import post

QUERY = "application/timestamp-query"
_encoder = msgspec.msgpack.Encoder()


class Stamped(NamedTuple):
    """What an authority said: of which tree, over how many entries, when (UTC, ISO 8601)."""

    origin: str
    size: int
    at: str


def roots(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file.

    Raises:
        RecordingError: it holds none.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} holds no certificates in PEM: {error}") from None


def stamp(path: Path, url: str, trusted: Sequence[x509.Certificate]) -> Stamped:
    """Have the last checkpoint of a ledger time-stamped, check that, and keep it.

    Raises:
        RecordingError: there is no checkpoint, or the authority refuses, cannot be reached, or
            gives a token that none of the roots vouches for.
    """
    ledger = Ledger(path.read_bytes(), path)
    if not ledger.covered or ledger.faults:
        why = ledger.faults[0][2] if ledger.faults else "no checkpoint is signed yet"
        raise RecordingError(f"{path}: {why}; no time stamp was asked for")
    text = text_of(ledger.last)
    request = tsp.TimestampRequestBuilder().data(text).cert_request(cert_request=True).build()
    status, body = post(url, request.as_bytes(), QUERY)
    if status != 200:
        raise RecordingError(f"the authority at {url} answers with status {status}")
    at = when(body, text, trusted, request.nonce)
    log = Log(path)
    with log.turn():
        entry = _encoder.encode((ledger.covered, sha256(text).digest(), body))
        log.add(Item.TOKEN, entry)
    return Stamped(ledger.origin, ledger.covered, at)


def when(
    token: bytes, text: bytes, trusted: Sequence[x509.Certificate], nonce: int | None = None
) -> str:
    """Return the time that a token states, once it was checked (UTC, ISO 8601).

    Raises:
        RecordingError: it is none, over something else, or no root vouches for it.
    """
    builder = tsp.VerifierBuilder()
    for certificate in trusted:
        builder = builder.add_root_certificate(certificate)
    if nonce is not None:
        builder = builder.nonce(nonce)
    try:
        response = tsp.decode_timestamp_response(token)
        if response.status not in (tsp.PKIStatus.GRANTED, tsp.PKIStatus.GRANTED_WITH_MODS):
            raise RecordingError(f"the authority refused: {', '.join(response.status_string)}")
        builder.build().verify_message(response, text)
        at = response.tst_info.gen_time
    except (tsp.VerificationError, ValueError) as error:
        raise RecordingError(f"a time stamp is not to be believed: {error}") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
