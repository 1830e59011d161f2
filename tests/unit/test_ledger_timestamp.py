"""A time-stamping authority states when a checkpoint was there; OpenSSL is the authority."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scot.cli import run
from scot_replay.ledger.log import LEDGER
from tests.golden.recording_frames import case
from tests.unit.ledger_recording import recorded

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = test authority
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa_config]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""

ISSUER = ["-CA", "ca.pem", "-CAkey", "ca.key"]


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A time-stamping authority over HTTP: its address and its root certificate."""
    folder = tmp_path_factory.mktemp("tsa")
    (folder / "config").write_text(CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")
    for name, subject, section in (("ca", "/CN=root", "ca"), ("tsa", "/CN=stamps", "tsa")):
        openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config",
            "config", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", subject,
            "-extensions", section, *(ISSUER if name == "tsa" else []),
        )  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            openssl(
                folder, "ts", "-reply", "-config", "config", "-section", "tsa_config",
                "-queryfile", "query", "-out", "reply",
            )  # fmt: skip
            data = (folder / "reply").read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", folder / "ca.pem"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_stamp_is_kept_checked_and_found_when_it_is_of_somebody_else(
    tmp_path: Path,
    authority: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "site"))
    url, root = authority
    desk = recorded(tmp_path, [case(2.0)])
    assert run(["witness", "stamp", url, str(desk.path), "--authority", str(root)]) == 0
    assert "entries time-stamped at 20" in capsys.readouterr().out
    assert run(["verify", str(desk.path)]) == 0
    assert "not checked; give the authority's root" in capsys.readouterr().out
    assert run(["verify", str(desk.path), "--authority", str(root)]) == 0
    assert "time stamp over" in capsys.readouterr().out
    stranger = tmp_path / "stranger.pem"
    openssl(
        tmp_path, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out",
        str(stranger), "-subj", "/CN=root",
    )  # fmt: skip
    assert run(["verify", str(desk.path), "--authority", str(stranger)]) == 1
    assert "not to be believed" in capsys.readouterr().out
    ledger = desk.path / LEDGER
    before = ledger.read_bytes()
    assert run(["witness", "stamp", url, str(desk.path), "--authority", str(stranger)]) == 1
    assert ledger.read_bytes() == before
