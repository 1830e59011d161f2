"""Provider `openigtlink`: poses and status of a tracker that is an OpenIGTLink server.

.. code-block:: toml

    [[device]]
    name = "tracker"
    provider = "openigtlink"
    [device.options]
    host = "192.0.2.7"
    port = 18944
    frame = "mni152"
    tools = [
      { name = "Probe", error_mm = 0.8, axis = "+z", target_mm = [-33, 18, 2] },
    ]

TRANSFORM, TDATA and QTDATA become poses, STATUS becomes the text channel `status`. Samples carry
the tracker's own time; where its header says 0, and the arrival stands in for it, the sample is
flagged `ARRIVAL`. A tool that the tracker does not see is reported as such and never held.

What the peer does wrong is counted under the device's health: ``bad_crc``, ``malformed``,
``garbage_bytes``, ``bad_pose``, ``unknown_messages``, ``ignored_tools``. After `max_errors` broken
messages with not ten sound ones between, or 256 kB that are no message, the
connection is closed and made anew. A closed, refused or dead connection is a `DeviceError`: the
host waits and calls again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Final

from scot.channel import Lifecycle
from scot.errors import DeviceError, DeviceTimeoutError
from scot.provider import DeviceContext, Provider, ProviderInfo, Text
from scot.sample import Sample
from scot_devices.openigtlink.messages import Query
from scot_devices.openigtlink.options import TrackerOptions
from scot_devices.openigtlink.protocol import encode
from scot_devices.openigtlink.session import Session

READ_BYTES: Final = 64 << 10


class OpenIGTLinkProvider(Provider[TrackerOptions]):
    """Tools of a surgical tracker, by OpenIGTLink 1 to 3 over TCP."""

    info = ProviderInfo(
        id="scot.openigtlink",
        label={"en": "Navigation (OpenIGTLink)", "ja": "ナビゲーション(OpenIGTLink)"},
        source="OpenIGTLink protocol 3.0, 2017-01-20",
    )
    Options = TrackerOptions

    status = Text("status", label={"en": "Tracker status", "ja": "トラッカの状態"})

    async def run(self, device: DeviceContext[TrackerOptions]) -> AsyncIterator[Sample]:
        """Connect and yield samples until the peer goes, dies or errs too often.

        Raises:
            DeviceError: cannot connect, closed, too many errors; DeviceTimeoutError: silent.
        """
        options = device.options
        session = Session(device, self.status)
        reader, writer = await self._connect(device)
        try:
            if options.start_tdata:
                writer.write(encode(session.start()))
            while True:
                data = await self._read(reader, device, session)
                for sample in session.receive(data, device.arrived()):
                    yield sample
        except ConnectionError as error:
            raise DeviceError(f"{options.where} broke the connection ({error})") from None
        finally:
            if options.start_tdata and not writer.transport.is_closing():
                writer.write(encode(Query(device="", verb="STP", what="TDATA")))
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    @staticmethod
    async def _connect(
        device: DeviceContext[TrackerOptions],
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        options = device.options
        device.move(Lifecycle.CONNECTING, device.reason)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                streams = await asyncio.open_connection(
                    options.host, options.port, limit=READ_BYTES
                )
        except TimeoutError:
            raise DeviceTimeoutError(
                f"{options.where} (connecting)",
                options.connect_timeout_s,
                options.connect_timeout_s,
            ) from None
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise DeviceError(
                f"{options.where} cannot be reached ({why}); "
                "is the tracker on and its OpenIGTLink server started?"
            ) from None
        device.move(Lifecycle.CONNECTED)
        return streams

    @staticmethod
    async def _read(
        reader: asyncio.StreamReader, device: DeviceContext[TrackerOptions], session: Session
    ) -> bytes:
        """Return what came; tell of silence on the way.

        Raises:
            DeviceError: the peer closed. DeviceTimeoutError: silent for `reconnect_after_s`.
        """
        options = device.options
        while True:
            silent_s = (device.arrived() - session.heard_ns) / 1e9
            if silent_s >= options.reconnect_after_s:
                raise DeviceTimeoutError(options.where, silent_s, options.reconnect_after_s)
            wait_s = min(options.silence_limit_s, options.reconnect_after_s) - silent_s
            if silent_s >= options.silence_limit_s:
                limit_s = options.silence_limit_s
                device.move(Lifecycle.DEGRADED, f"no message for more than {limit_s:g} s")
                wait_s = options.reconnect_after_s - silent_s
            try:
                async with asyncio.timeout(wait_s) as limit:
                    data = await reader.read(READ_BYTES)
            except TimeoutError as error:
                if limit.expired():
                    continue
                raise DeviceError(f"{options.where} no longer answers ({error})") from None
            if not data:
                raise DeviceError(session.farewell())
            return data
