"""A patient monitor that speaks IEEE 11073 SDC: six waveforms, twelve numerics, twelve alarms.

    python -m scot_devices.simulators.monitor --port 6464 --seed 7

It is a program of its own: any SDC consumer may subscribe to it. It tells the story of
`scot_devices.simulators.surgery` (the patient bleeds from second 60 to 95 of each 180), measures
its numerics on its own waveforms, and can be operated from afar: its cuff started and stopped, its
alarm limits moved. When it is ready it prints one line of JSON. Built on `sdc11073`, which its
authors do not release for clinical use; nor is this.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sdc11073.certloader import SSLContextContainer, mk_ssl_contexts_from_folder
from sdc11073.definitions_sdc import SdcV1Definitions
from sdc11073.httpserver.compression import CompressionHandler
from sdc11073.httpserver.httpserverimpl import _ThreadingHTTPServer
from sdc11073.loghelper import LoggerAdapter
from sdc11073.mdib import ProviderMdib
from sdc11073.provider import SdcProvider
from sdc11073.provider.providerimpl import (
    RoleProviderComponents,
    provider_components_async_factory,
)
from sdc11073.wsdiscovery import WSDiscovery
from sdc11073.xml_types import pm_types
from sdc11073.xml_types.dpws_types import ThisDeviceType, ThisModelType

from scot.clock import machine
from scot_devices.sdc.pacing import VENTRICLE
from scot_devices.simulators import monitor_mdib as mdib_names
from scot_devices.simulators.monitor_control import Operations, Operator, Product
from scot_devices.simulators.monitor_logic import CUFF_TAKES_S, Cuff, Gauges, watches
from scot_devices.simulators.monitor_mdib import (
    LIMITS,
    NUMERICS,
    WAVES,
    Limit,
    mdib_xml,
    signal_handle,
)
from scot_devices.simulators.physiology import TICK_S, Block, Patient
from scot_devices.simulators.surgery import Surgery

WARM_UP_S: Final = 24.0
"""Waveforms made before the start, so that every number is known from the first second."""

LEADS: Final = frozenset({"ecg_ii", "ecg_v5"})
PACED_BEFORE_S: Final = 0.052
"""From the pacer's spike in the ventricle to the R wave."""

FAULTS: Final = ("none", "silent", "lead_off")
_HANDLE: Final = {metric.name: metric.handle for metric in (*NUMERICS, *WAVES)}
_NS: Final = 1_000_000_000
_LoggerAdapter: Any = LoggerAdapter  # its constructor has no types
_FORGET_LATE_NS: Final = 5 * _NS
_Validity = pm_types.MeasurementValidity


class _HttpServer:
    """The library's HTTP server on a port of our choice (by itself the library takes any).

    Raises:
        OSError: the address is not ours or the port is busy.
    """

    def __init__(self, ip: str, port: int, tls: SSLContextContainer | None) -> None:
        log: Any = _LoggerAdapter(logging.getLogger("sdc.device.httpsrv"))
        kind: Any = type("_Server", (_ThreadingHTTPServer,), {"allow_reuse_address": True})
        self._httpd: Any = kind(log, (ip, port), 0, CompressionHandler.available_encodings)
        if tls is not None:
            context = tls.server_context
            self._httpd.socket = context.wrap_socket(self._httpd.socket, server_side=True)
        self.dispatcher: Any = self._httpd.dispatcher
        self.server_port: int = self._httpd.server_port
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.1,), daemon=True)

    def start(self) -> None:
        """Serve from a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and close the connections."""
        if self._thread.is_alive():
            self._httpd.shutdown()
        self._httpd.server_close()


class _Unannounced:
    """Stands in for WS-Discovery on a machine without multicast: reachable by address only."""

    def __init__(self, ip: str) -> None:
        self.active_address = ip

    def publish_service(self, *_: Any) -> None:
        """Nobody to tell."""

    def clear_service(self, epr: str) -> None:
        """Nobody to tell."""

    def stop(self) -> None:
        """Nothing runs."""


def _discovery(ip: str, announce: bool) -> tuple[Any, bool]:
    """WS-Discovery on `ip`, or its stand-in; and whether it is the real one."""
    if announce:
        try:
            discovery: Any = WSDiscovery(ip)
            discovery.start()
        except OSError as error:
            print(f"no WS-Discovery on {ip} ({error}); connect by address", file=sys.stderr)
        else:
            return discovery, True
    return _Unannounced(ip), False


def _time(ns: int) -> Decimal:
    """BICEPS Timestamp: whole milliseconds, as seconds; exact, which a float would not be."""
    return Decimal(ns // 1_000_000) / 1000


class Monitor:
    """The device: owns its MDIB and its SDC provider, and advances block by block.

    Args:
        options: parsed command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.block_s: float = options.block_ticks * TICK_S
        self._offset_ns: int = round(options.clock_offset_s * _NS)
        start_ns: int = options.start_utc_ns or machine.utc_ns()
        elapsed_s = (machine.utc_ns() - start_ns) / _NS
        first = options.t0 + elapsed_s // self.block_s * self.block_s
        self._story_zero_ns: int = start_ns - round(options.t0 * _NS)
        self.patient = Patient(options.seed, Surgery(options.seed).bleeding, first - WARM_UP_S)
        cuff = Cuff(options.nibp_every_s, options.nibp_takes_s)
        self.gauges = Gauges(self.patient, cuff)
        while self.patient.t_s < first - TICK_S / 2:
            self.gauges.add(self.patient.advance(options.block_ticks))
        self.watches = watches()
        self.lead_off = False
        self._checks = 1
        self.mdib: Any = ProviderMdib.from_string(mdib_xml(str(options.seed)), SdcV1Definitions)
        self._prepare_states()
        self.operations = Operations()
        self.operator = Operator(self.operations, self.gauges.cuff, self.watches, self._send_limit)

    def device_ns(self, t_s: float) -> int:
        """The monitor's own clock, ns since 1970, at a second of the story."""
        return self._story_zero_ns + round(t_s * _NS) + self._offset_ns

    def due_ns(self, t_s: float) -> int:
        """When the machine's UTC reads as the story's second `t_s`."""
        return self._story_zero_ns + round(t_s * _NS)

    def _prepare_states(self) -> None:
        """Give states what the description leaves to them, before anybody can ask."""
        now = _time(self.device_ns(self.patient.t_s))
        states = self.mdib.states.descriptor_handle
        for limit in LIMITS:
            state = states.get_one(limit.handle)
            _set_limit(state, limit)
            monitored = pm_types.AlertConditionMonitoredLimits
            state.MonitoredAlertLimits = monitored.LOW_OFF if limit.upper else monitored.HIGH_OFF
            state.DeterminationTime = now
        states.get_one(mdib_names.LEAD_OFF).DeterminationTime = now
        states.get_one(mdib_names.ALERT_SYSTEM).LastSelfCheck = now
        states.get_one("clock").LastSet = now
        patient = self.mdib.descriptions.handle.get_one(mdib_names.PATIENT)
        context = self.mdib.data_model.mk_state_container(patient)
        context.Handle = "patient.demo"
        context.ContextAssociation = pm_types.ContextAssociation.ASSOCIATED
        context.BindingMdibVersion = 0
        core = pm_types.PatientDemographicsCoreData()
        core.Familyname, core.Givenname = "DEMO", "Patient"
        core.Sex, core.PatientType = pm_types.Sex.UNSPEC, pm_types.PatientType.ADULT
        context.CoreData = core
        self.mdib.context_states.add_object(context)

    def send_waves(self, block: Block) -> None:
        """One RealTimeSampleArray state for each wave: first sample's time, samples."""
        taken = _time(self.device_ns(block.t_s))
        with self.mdib.rt_sample_state_transaction() as transaction:
            for wave in WAVES:
                state = transaction.get_state(wave.handle)
                if state.MetricValue is None:
                    state.mk_metric_value()
                value = state.MetricValue
                off = self.lead_off and wave.module == "ecg"
                value.MetricQuality.Mode = pm_types.GenerationMode.DEMO
                value.MetricQuality.Validity = _Validity.INVALID if off else _Validity.VALID
                value.DeterminationTime = taken
                shown = block.waves[wave.name] * 0.0 if off else block.waves[wave.name]
                form = f".{wave.digits}f"
                value.Samples = [Decimal(format(x, form)) for x in shown.tolist()]
                if wave.module == "ecg" and wave.name in LEADS:
                    self._mark_pacing(value, block, len(value.Samples), off)

    def _mark_pacing(self, value: Any, block: Block, samples: int, off: bool) -> None:
        """Annotate the samples at which the pacer fired: its spike itself is too short for them."""
        begin_s = block.t_s + PACED_BEFORE_S
        period_s = self.block_s / samples
        beats = self.patient.beats(begin_s, begin_s + self.block_s)
        spikes = [] if off or not self.options.paced else beats
        value.Annotation = [pm_types.Annotation(pm_types.CodedValue(str(VENTRICLE)))][: len(spikes)]
        value.ApplyAnnotation = [
            pm_types.ApplyAnnotation(0, min(samples - 1, int((r_s - begin_s) / period_s)))
            for r_s in spikes
        ]

    def send_numbers(self, t_s: float) -> dict[str, float | None]:
        """Measure at second `t_s` and send every number, valid or not available."""
        numbers = self.gauges.read()
        if self.lead_off:
            numbers["hr"] = numbers["rr"] = None
        cuff = self.gauges.cuffed(t_s, numbers)
        taken = _time(self.device_ns(t_s))
        with self.mdib.metric_state_transaction(set_determination_time=False) as transaction:
            for name, number in {**numbers, **(cuff or {})}.items():
                state = transaction.get_state(_HANDLE[name])
                if state.MetricValue is None:
                    state.mk_metric_value()
                value = state.MetricValue
                value.MetricQuality.Mode = pm_types.GenerationMode.DEMO
                value.Value = None if number is None else Decimal(str(number))
                value.MetricQuality.Validity = _Validity.NA if number is None else _Validity.VALID
                value.DeterminationTime = taken
        if cuff is not None:
            self.operator.measured()
        return numbers

    def send_alerts(self, t_s: float, numbers: dict[str, float | None]) -> None:
        """Judge the limits, and send what changed together with the self check."""
        changed = [(w, w.update(t_s, numbers.get(w.limit.source))) for w in self.watches]
        now = _time(self.device_ns(t_s))
        self._checks += 1
        with self.mdib.alert_state_transaction(set_determination_time=False) as transaction:
            system = transaction.get_state(mdib_names.ALERT_SYSTEM)
            system.LastSelfCheck, system.SelfCheckCount = now, self._checks
            system.PresentPhysiologicalAlarmConditions = [
                watch.limit.handle for watch in self.watches if watch.present
            ]
            system.PresentTechnicalAlarmConditions = [mdib_names.LEAD_OFF] if self.lead_off else []
            for watch, is_new in changed:
                if is_new:
                    self._send_alert(
                        transaction, watch.limit.handle, watch.present, watch.signal, now
                    )
            lead = self.mdib.states.descriptor_handle.get_one(mdib_names.LEAD_OFF)
            if lead.Presence != self.lead_off:
                signalled = "On" if self.lead_off else "Off"
                self._send_alert(transaction, mdib_names.LEAD_OFF, self.lead_off, signalled, now)

    def _send_limit(self, limit: Limit) -> None:
        """Report a limit that was moved; the next second is judged by it."""
        with self.mdib.alert_state_transaction(set_determination_time=False) as transaction:
            _set_limit(transaction.get_state(limit.handle), limit)

    def _send_alert(
        self, transaction: Any, handle: str, present: bool, signalled: str, now: Decimal
    ) -> None:
        condition = transaction.get_state(handle)
        if condition.Presence != present:
            condition.Presence, condition.DeterminationTime = present, now
        shown = transaction.get_state(signal_handle(handle))
        shown.Presence = pm_types.AlertSignalPresence(signalled)


def _set_limit(state: Any, limit: Limit) -> None:
    at = Decimal(str(limit.at))
    low, high = (None, at) if limit.upper else (at, None)
    state.Limits = pm_types.Range(low, high)


def _provider(monitor: Monitor, discovery: Any, tls: SSLContextContainer | None) -> Any:
    """The SDC provider, with the Set service by which it is operated."""
    components = provider_components_async_factory()
    del components.hosted_services["ContainmentTree"]
    components.sco_operations_registry_class = monitor.operations.registry()
    return SdcProvider(
        ws_discovery=discovery,
        this_model=ThisModelType("SCOT", "https://example.org", "Simulated patient monitor", "1"),
        this_device=ThisDeviceType("Simulated patient monitor", "1", str(monitor.options.seed)),
        device_mdib_container=monitor.mdib,
        epr=monitor.options.epr,
        validate=monitor.options.validate,
        ssl_context_container=tls,
        socket_timeout=2,
        components=components,
        role_provider_components=RoleProviderComponents(role_provider_class=Product),
    )


def _pace(monitor: Monitor) -> None:
    """Advance for ever, each block when its last sample has been taken."""
    fault_s = monitor.patient.t_s + monitor.options.fault_after_s
    second = int(monitor.patient.t_s)
    utc_minus_mono_ns = machine.utc_ns() - machine.monotonic_ns()
    while True:
        block = monitor.patient.advance(monitor.options.block_ticks)
        monitor.gauges.add(block)
        end_s = monitor.patient.t_s
        wait_ns = monitor.due_ns(end_s) - utc_minus_mono_ns - machine.monotonic_ns()
        if wait_ns > 0:
            machine.sleep(wait_ns / _NS)
        elif wait_ns < -_FORGET_LATE_NS:
            continue
        faulty = end_s >= fault_s
        if faulty and monitor.options.fault == "silent":
            continue
        monitor.operator.work(end_s)
        monitor.lead_off = faulty and monitor.options.fault == "lead_off"
        monitor.send_waves(block)
        if int(end_s) != second:
            second = int(end_s)
            monitor.send_alerts(end_s, monitor.send_numbers(end_s))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--port", type=int, default=0, help="TCP port of the SDC services; 0 takes a free one")
    add("--interface", default="127.0.0.1", help="IPv4 address to bind and to announce")
    add("--epr", type=uuid.UUID, help="endpoint reference, a UUID; derived from the seed if absent")
    add("--seed", type=int, default=7, help="of everything that varies by chance")
    add("--start-utc-ns", type=int, help="UTC ns at which the story begins; now if absent")
    add("--t0", type=float, default=0.0, help="second of the story to begin at (60: it bleeds)")
    add("--clock-offset-s", type=float, default=0.0, help="error of the monitor's own clock, s")
    add("--block-ticks", type=int, default=4, choices=range(2, 7), metavar="2..6",
        help="16 ms ticks in one waveform block")  # fmt: skip
    add("--nibp-every-s", type=float, default=60.0, help="cuff interval, s")
    add("--nibp-takes-s", type=float, default=CUFF_TAKES_S, help="one cuff measurement, s")
    add("--no-discovery", dest="announce", action="store_false", help="no WS-Discovery multicast")
    add("--validate", action="store_true", help="check every message against the BICEPS schema")
    add("--tls", type=Path, metavar="FOLDER", help="userkey.pem, usercert.pem, cacert.pem: use TLS")
    add("--paced", action="store_true", help="a pacemaker drives the heart, and is seen to")
    add("--fault", choices=FAULTS, default="none", help="what goes wrong")
    add("--fault-after-s", type=float, default=5.0, help="seconds until it does")
    return parser


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; return the exit code."""
    options = _arguments().parse_args(arguments)
    if options.epr is None:
        options.epr = uuid.uuid5(uuid.NAMESPACE_DNS, f"monitor-{options.seed}.scot.invalid")
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(levelname)s %(message)s")
    tls = mk_ssl_contexts_from_folder(options.tls) if options.tls else None
    try:
        server = _HttpServer(options.interface, options.port, tls)
    except OSError as error:
        print(
            f"cannot listen on {options.interface}:{options.port}: {error.strerror}; "
            "choose another --port or --interface",
            file=sys.stderr,
        )
        return 1
    monitor = Monitor(options)
    discovery, announced = _discovery(options.interface, options.announce)
    provider = _provider(monitor, discovery, tls)
    signal.signal(signal.SIGTERM, _stop)
    try:
        provider.start_all(start_rtsample_loop=False, shared_http_server=server)
        # A consumer that knows host and port only asks here for the rest (WS-Discovery 1.1).
        services = server.dispatcher.get_instance(provider.path_prefix)
        server.dispatcher.register_instance("StableWSDiscoveryEndpoint", services)
        monitor.send_alerts(monitor.patient.t_s, monitor.send_numbers(monitor.patient.t_s))
        server.start()
        provider.publish()
        ready = {
            "ready": True,
            "address": provider.get_xaddrs()[0],
            "epr": provider.epr_urn,
            "port": server.server_port,
            "discovery": announced,
            "metrics": len(NUMERICS) + len(WAVES),
        }
        print(json.dumps(ready), flush=True)
        _pace(monitor)
    except KeyboardInterrupt:
        pass
    finally:
        provider.stop_all()
        server.stop()
        discovery.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
