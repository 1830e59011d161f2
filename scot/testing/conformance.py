"""The conformance check of a provider, which any third party can run (`scot provider check`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError

from scot.channel import ArgumentType, Channel, Command, Lifecycle
from scot.clock.clock import Clock
from scot.codec import decode, encode, read_header
from scot.errors import DeviceError, ScotError
from scot.provider import DeviceContext, Provider, ProviderInfo
from scot.sample import Sample

RESERVED = ("health", "commands")
"""Channels that a host publishes itself."""


@dataclass
class Report:
    """What the conformance check found.

    Attributes:
        passed: rules that hold.
        failed: rules that do not, each with what was seen and what is expected.
        samples: how many the provider yielded.
    """

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    samples: int = 0

    def rule(self, name: str, holds: bool, seen: str = "") -> None:
        """Note one rule."""
        if holds:
            self.passed.append(name)
        else:
            self.failed.append(f"{name}: {seen}" if seen else name)


def check_declaration(provider: Any) -> Report:
    """Check what can be seen without a device."""
    report = Report()
    is_provider = isinstance(provider, type) and issubclass(provider, Provider)
    report.rule("is a subclass of scot.provider.Provider", is_provider, repr(provider))
    if not is_provider:
        return report
    info = getattr(provider, "info", None)
    report.rule("has `info: ProviderInfo`", isinstance(info, ProviderInfo), repr(info))
    if isinstance(info, ProviderInfo):
        report.rule("info.id is dotted (`maker.product`)", "." in info.id, repr(info.id))
        report.rule("info.label has `en`", "en" in info.label, repr(info.label))
    report.rule("has a docstring", bool(provider.__doc__))
    extra = provider.Options.model_config.get("extra")
    report.rule('Options forbids unknown keys (extra="forbid")', extra == "forbid", repr(extra))
    for name, option in provider.Options.model_fields.items():
        report.rule(f"option {name} has a description", bool(option.description))
    for channel in provider.declared():
        _check_channel(report, channel)
    _check_commands(report, provider, provider.declared_commands())
    return report


def _check_commands(report: Report, provider: Any, commands: Iterable[Command]) -> None:
    for command in commands:
        named = f"command {command.name}"
        carried_out = provider.execute is not Provider.execute
        report.rule(f"{named} is carried out by `execute`", carried_out, "it is not overridden")
        report.rule(f"{named} has a label in en", "en" in command.label, repr(command.label))
        report.rule(f"{named} is for some role", bool(command.roles), repr(command.roles))
        report.rule(
            f"{named} has a limit of time", 0 < command.limit_s <= 600, f"{command.limit_s}"
        )
        names = [argument.name for argument in command.arguments]
        report.rule(f"{named} names each argument once", len(names) == len(set(names)), f"{names}")
        for argument in command.arguments:
            what = f"{named}: {argument.name}"
            report.rule(f"{what} has a label in en", "en" in argument.label, repr(argument.label))
            if argument.type in (ArgumentType.NUMBER, ArgumentType.INTEGER):
                bounded = argument.lower is not None and argument.upper is not None
                report.rule(f"{what} has both limits", bounded)
                report.rule(f"{what} has a UCUM unit (`1` when it has none)", bool(argument.unit))
            if argument.type is ArgumentType.CHOICE:
                report.rule(f"{what} has choices", bool(argument.choices))


def _check_channel(report: Report, channel: Channel) -> None:
    named = f"channel {channel.name}"
    report.rule(f"{named} leaves {', '.join(RESERVED)} to the host", channel.name not in RESERVED)
    report.rule(f"{named} has a label in en", "en" in channel.label, repr(channel.label))
    if channel.kind in ("numeric", "waveform"):
        report.rule(f"{named} has a UCUM unit (`1` when it has none)", bool(channel.unit))
    if channel.kind == "waveform":
        report.rule(f"{named} has rate_hz", bool(channel.rate_hz))


async def check_run(
    provider: type[Provider[Any]], options: dict[str, Any], seconds: float
) -> Report:
    """Run a provider without a bus and check each sample it yields."""
    report = check_declaration(provider)
    try:
        parsed = provider.Options.model_validate(options)
    except ValidationError as error:
        report.rule("accepts the options", False, str(error.errors()[0]))
        return report
    device: DeviceContext[Any] = DeviceContext("check", "device", parsed, Clock.session())
    device.offer(*provider.declared(), *provider.declared_commands())
    device.move(Lifecycle.CONNECTING)
    seqs: dict[str, int] = {}
    error_text = ""
    samples = provider().run(device)
    try:
        async with asyncio.timeout(seconds):
            async for sample in samples:
                report.samples += 1
                error_text = error_text or _check_sample(device, sample, seqs)
    except TimeoutError:
        pass
    except DeviceError as error:
        report.rule("keeps its device", False, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises is its finding
        report.rule("raises only DeviceError", False, f"{type(error).__name__}: {error}")
    finally:
        if isinstance(samples, AsyncGenerator):
            await samples.aclose()
    report.rule("yields samples", report.samples > 0, f"none within {seconds:g} s")
    report.rule("every sample is sound", not error_text, error_text)
    for channel in device.channels.values():
        _check_channel(report, channel)
    _check_commands(report, provider, device.commands.values())
    return report


def _check_sample(device: DeviceContext[Any], sample: Sample, seqs: dict[str, int]) -> str:
    """Return what is wrong with a sample, or nothing."""
    channel = device.channels.get(sample.channel)
    if channel is None:
        return f"{sample.address} was never offered"
    expected = seqs.get(sample.address, 0)
    seqs[sample.address] = sample.seq + 1
    if sample.seq != expected:
        return f"{sample.address}: seq {sample.seq}, expected {expected}"
    try:
        frame = encode(sample, channel.kind)
        decode(frame, channel, read_header(frame))
    except ScotError as error:
        return str(error)
    return ""


def as_rows(report: Report) -> dict[str, Any]:
    """Return a report as plain values."""
    rows: dict[str, Any] = msgspec.to_builtins(report)
    return rows
