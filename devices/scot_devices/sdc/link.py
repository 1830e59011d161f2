"""One SDC connection: `sdc11073` on its threads, reports in a bounded queue for the event loop.

The library speaks SOAP, keeps the subscription alive and calls back on threads of its own. Nothing
of it passes this module but the received elements. It only reads, unless it is told to `invoke` an
operation: then one request is sent, once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import msgspec

from scot.errors import CommandFailedError, DeviceError, DeviceTimeoutError
from scot_devices.sdc.operations import Limits

CONNECT_LIMIT_S: Final = 3.0
REQUEST_LIMIT_S: Final = 4
QUEUE_LIMIT: Final = 512
"""Reports waiting for the event loop: some 15 s of a busy monitor."""

PROBE_PATH: Final = "StableWSDiscoveryEndpoint"
"""Where a device answers a directed Probe (WS-Discovery 1.1, section 3.1.3)."""

_UNUSED: Final = ("Periodic",)
_OF_OPERATIONS: Final = ("OperationInvoked", "OperationalState")

log = logging.getLogger(__name__)


class Report(msgspec.Struct, frozen=True):
    """One notification: when its bytes were here (host's monotonic ns), its name, its body."""

    arrived_ns: int
    name: str
    body: Element


class Inbox:
    """Reports on their way from the library's threads to the event loop.

    When it is full the oldest waveform is dropped, for alarms and numerics matter more; with no
    waveform in it, the oldest report.

    Attributes:
        dropped: reports that were dropped since the start.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = QUEUE_LIMIT) -> None:
        self.dropped = 0
        self._loop = loop
        self._limit = limit
        self._reports: deque[Report] = deque()
        self._lock = threading.Lock()
        self._filled = asyncio.Event()
        self._lost = ""

    def put(self, report: Report) -> None:
        """Add a report, from any thread."""
        with self._lock:
            if len(self._reports) >= self._limit:
                self._drop()
            self._reports.append(report)
        self._wake()

    def lose(self, reason: str) -> None:
        """Say, from any thread, that nothing more will come."""
        self._lost = self._lost or reason
        self._wake()

    async def get(self, limit_s: float) -> Report:
        """Return the next report.

        Raises:
            DeviceError: the connection is lost and what came before is used up.
            TimeoutError: none came within `limit_s`.
        """
        while True:
            with self._lock:
                if self._reports:
                    return self._reports.popleft()
                self._filled.clear()
            if self._lost:
                raise DeviceError(self._lost)
            async with asyncio.timeout(limit_s):
                await self._filled.wait()

    def _drop(self) -> None:
        self.dropped += 1
        for index, report in enumerate(self._reports):
            if report.name == "WaveformStream":
                del self._reports[index]
                return
        self._reports.popleft()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._filled.set)
        except RuntimeError:  # the loop has closed: nobody waits any more
            pass


class _Quiet(logging.Handler):
    """Takes what the library logs: errors go on as they are, the rest only when asked for."""

    def emit(self, record: logging.LogRecord) -> None:
        level = logging.WARNING if record.levelno >= logging.ERROR else logging.DEBUG
        if log.isEnabledFor(level):
            text = record.getMessage().strip()
            log.log(level, "%s: %s", record.name, text.rpartition("\n")[2][:500])


def _quieten() -> None:
    library = logging.getLogger("sdc")
    if not any(isinstance(handler, _Quiet) for handler in library.handlers):
        library.addHandler(_Quiet())
        library.propagate = False
        library.setLevel(logging.INFO if log.isEnabledFor(logging.DEBUG) else logging.ERROR)


class Link:
    """A subscription to one SDC provider.

    Args:
        device: address of the device in the room, for messages.
        arrived: the host's monotonic clock.
        validate: check each message against the BICEPS schema.
        tls: folder with ``userkey.pem``, ``usercert.pem``, ``cacert.pem``; None for plain HTTP.
        operated: follow what becomes of operations too, so that they can be invoked.
    """

    def __init__(
        self,
        device: str,
        arrived: Callable[[], int],
        validate: bool = True,
        tls: Path | None = None,
        operated: bool = False,
    ) -> None:
        self._device = device
        self._arrived = arrived
        self._validate = validate
        self._tls = tls
        self._operated = operated
        self._consumer: Any = None
        self.inbox = Inbox(asyncio.get_running_loop())

    async def find(self, epr: str, interface: str, limit_s: float) -> str:
        """Return the transport address of the device with this endpoint reference.

        Raises:
            DeviceError: WS-Discovery does not work here, or nobody answered for `epr`.
        """
        return await asyncio.to_thread(self._find, epr, interface, limit_s)

    async def open(self, address: str) -> Element:
        """Connect, subscribe to everything that is read, and return the whole MDIB.

        Args:
            address: ``http://host:port/path``; without a path the device is asked for it.

        Raises:
            DeviceError: nobody listens there, or it is not an SDC provider; says which.
        """
        url = urlsplit(address)
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                _, writer = await asyncio.open_connection(url.hostname, url.port)
        except (OSError, TimeoutError) as error:
            raise DeviceError(
                f"no SDC device answers at {url.netloc} ({str(error) or 'no answer in time'}); "
                "is the monitor on, and is the address right?"
            ) from None
        writer.close()
        return await asyncio.to_thread(self._open, address)

    async def mdib(self) -> Element:
        """Read the whole MDIB again, over the open connection."""
        return await asyncio.to_thread(self._read_mdib)

    async def next(self, limit_s: float) -> Report:
        """Return the next report.

        Raises:
            DeviceTimeoutError: the device was silent for `limit_s`.
            DeviceError: the subscription ended.
        """
        try:
            return await self.inbox.get(limit_s)
        except TimeoutError:
            raise DeviceTimeoutError(self._device, limit_s, limit_s) from None

    async def invoke(self, operation: str, proposed: Limits | None = None) -> bool:
        """Invoke a remote operation, once, and wait for its end as long as the caller does.

        Args:
            operation: its handle.
            proposed: of a SetAlertState, what to propose; of an Activate, None.

        Returns:
            True when it is done; False when it is done with a value next to what was proposed.

        Raises:
            CommandFailedError: the device said that it did not do it.
            Exception: whatever the library raises; it may or may not have been done.
        """
        if self._consumer is None or self._consumer.set_service_client is None:
            raise CommandFailedError("the device takes no operations over this connection")
        sent = await asyncio.to_thread(self._invoke, operation, proposed)
        info = (await asyncio.wrap_future(sent)).InvocationInfo
        state = str(info.InvocationState.value)
        if state not in ("Fin", "FinMod"):
            texts = "; ".join(str(text.text) for text in info.InvocationErrorMessage)
            raise CommandFailedError(f"the device says {state}: {texts or 'no reason given'}")
        return state == "Fin"

    def _invoke(self, operation: str, proposed: Limits | None) -> Any:
        """Send the request; its future ends with the device's last word."""
        client = self._consumer.set_service_client
        if proposed is None:
            return client.activate(operation)
        return client.set_alert_state(operation, _condition_state(proposed))

    async def close(self, polite: bool) -> None:
        """Let go of the connection; with `polite` tell the device so first."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await asyncio.to_thread(_stop, consumer, polite)

    def _find(self, epr: str, interface: str, limit_s: float) -> str:
        from sdc11073.wsdiscovery import WSDiscovery

        _quieten()
        wanted = _plain(epr)
        discovery: Any = WSDiscovery(interface)
        try:
            discovery.start()
        except OSError as error:
            raise DeviceError(
                f"WS-Discovery does not work on {interface} ({error}); give the device's `address`"
            ) from None
        try:
            for _ in range(max(1, round(limit_s))):
                for service in discovery.search_sdc_services(timeout=1, repeat_probe_interval=1):
                    if _plain(service.epr) == wanted and service.x_addrs:
                        return str(service.x_addrs[0])
        finally:
            discovery.stop()
        raise DeviceError(
            f"no SDC device {epr} answered on {interface} within {limit_s:g} s; "
            "is it on, in this network, and is `epr` right?"
        )

    def _make(self, address: str) -> Any:
        from sdc11073.certloader import mk_ssl_contexts_from_folder
        from sdc11073.consumer.consumerimpl import SdcConsumer, default_components_factory
        from sdc11073.definitions_sdc import SdcV1Definitions
        from sdc11073.dispatch import RequestDispatcher

        _quieten()
        components = default_components_factory()
        # The default dispatcher starts a thread that never ends, once a connection.
        components.action_dispatcher_class = RequestDispatcher
        try:
            tls = None if self._tls is None else mk_ssl_contexts_from_folder(self._tls)
        except OSError as error:
            raise DeviceError(
                f"TLS keys cannot be read ({error}); "
                f"{self._tls} must hold userkey.pem, usercert.pem and cacert.pem"
            ) from None
        consumer: Any = SdcConsumer(
            address,
            SdcV1Definitions,
            tls,
            validate=self._validate,
            components=components,
            socket_timeout=REQUEST_LIMIT_S,
            force_ssl_connect=tls is not None,
        )
        # A compressed empty answer is a second small packet, which waits 40 ms for the first one's
        # acknowledgement (Nagle), and the device with it.
        consumer.set_used_compression()
        return consumer

    def _open(self, address: str) -> Element:
        """Connect and subscribe; on one of our threads."""
        from sdc11073 import observableproperties
        from sdc11073.xml_types.actions import Actions

        bind: Any = observableproperties.strongbind
        words = _UNUSED if self._operated else (*_UNUSED, *_OF_OPERATIONS)
        unused = [action.value for action in Actions if any(word in action.value for word in words)]
        try:
            if urlsplit(address).path.strip("/") == "":
                address = self._ask_path(address)
            consumer = self._make(address)
            self._consumer = consumer
            bind(consumer, state_event_report=self._on_report)
            consumer.start_all(not_subscribed_actions=unused)
            bind(consumer, is_connected=self._on_connected)
            if not consumer.is_connected:
                raise DeviceError(f"{address} refused the subscription; is it in use elsewhere?")
            return self._read_mdib()
        except DeviceError:
            raise
        except Exception as error:  # noqa: BLE001 - a wrong answer raises whatever it leads to
            self._refuse(address, error)

    def _ask_path(self, address: str) -> str:
        """Ask the device behind host and port for its transport address (directed Probe)."""
        consumer = self._make(f"{address.rstrip('/')}/{PROBE_PATH}")
        try:
            matches = consumer.send_probe()
            return str(matches.ProbeMatch[0].XAddrs[0])
        finally:
            _close_sockets(consumer)

    def _refuse(self, address: str, error: Exception) -> NoReturn:
        what = str(error).strip().rpartition("\n")[2][:200] or type(error).__name__
        raise DeviceError(
            f"{address} does not answer as an SDC device ({what}); "
            "is that its port, and do both sides use TLS or neither?"
        ) from error

    def _read_mdib(self) -> Element:
        body: Element = self._consumer.get_service_client.get_mdib().p_msg.msg_node
        return body

    def _on_report(self, message: Any) -> None:
        body = message.p_msg.msg_node
        self.inbox.put(Report(self._arrived(), message.action.rpartition("/")[2], body))

    def _on_connected(self, connected: bool) -> None:
        if not connected:
            self.inbox.lose(
                "the subscription ended: the device is stopping, or did not renew it in time"
            )


def _condition_state(proposed: Limits) -> Any:
    """A LimitAlertConditionState as the library writes it."""
    from sdc11073.mdib.descriptorcontainers import LimitAlertConditionDescriptorContainer
    from sdc11073.mdib.statecontainers import LimitAlertConditionStateContainer
    from sdc11073.xml_types import pm_types

    of: Any = LimitAlertConditionDescriptorContainer(proposed.condition, None)
    state: Any = LimitAlertConditionStateContainer(of)
    state.ActivationState = pm_types.AlertActivation(proposed.activation)
    state.Presence = proposed.present
    state.MonitoredAlertLimits = pm_types.AlertConditionMonitoredLimits(proposed.monitored)
    state.Limits = pm_types.Range(proposed.lower, proposed.upper)
    return state


def _plain(epr: str) -> str:
    """An endpoint reference as 32 hexadecimal digits when it is a UUID, else as it is."""
    try:
        return uuid.UUID(epr).hex
    except ValueError:
        return epr


def _close_sockets(consumer: Any) -> None:
    for client in consumer._soap_clients.values():  # stop_all would need a start_all
        client.close()


def _stop(consumer: Any, polite: bool) -> None:
    try:
        if consumer.subscription_mgr is None:
            _close_sockets(consumer)
        else:
            consumer.stop_all(unsubscribe=polite)
    except Exception as error:  # noqa: BLE001 - it is being let go of, in whatever state
        log.debug("closing: %s", error)
    # Its objects hold one another and some 7 MB of schema; a flapping device would pile them up.
    del consumer
    gc.collect()
