"""The conformance check passes a sound provider and names each rule that another breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, ClassVar

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field

from scot.channel import Argument, ArgumentType, Channel, Command, Numeric, Waveform
from scot.errors import DeviceError
from scot.provider import DeviceContext, Provider, ProviderInfo
from scot.sample import NumericValue, Sample
from scot.testing.conformance import Report, as_rows, check_declaration, check_run

HR = Numeric("hr", unit="/min", label={"en": "HR"})


class Sound(Provider["Sound.Options"]):
    """Yields as many numbers as its option says."""

    info = ProviderInfo(id="test.sound", label={"en": "Sound"})

    class Options(BaseModel):
        """How many."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        count: Annotated[int, Field(ge=1, description="samples")] = 3

    hr = HR
    closed: ClassVar[list[bool]] = []

    async def run(self, device: DeviceContext[Any]) -> AsyncIterator[Sample]:
        """Yield, then wait as a device would."""
        try:
            for number in range(device.options.count):
                yield device.sample(self.hr, NumericValue(float(number)))
            await asyncio.Event().wait()
        finally:
            self.closed.append(True)


Runner = Callable[[DeviceContext[Any]], AsyncIterator[Sample]]


def running(work: Runner) -> type[Provider[Any]]:
    """The sound provider, but its `run` does this."""

    class Other(Sound):
        """Runs something else."""

        def run(self, device: DeviceContext[Any]) -> AsyncIterator[Sample]:
            return work(device)

    return Other


async def test_a_sound_provider_passes_and_is_closed() -> None:
    Sound.closed.clear()
    report = await check_run(Sound, {"count": 5}, 0.2)
    assert report.failed == []
    assert report.samples == 5
    assert len(report.passed) >= 8
    assert Sound.closed == [True]


def sound_with(**attributes: Any) -> type:
    return type("Changed", (Sound,), {"__doc__": "Changed.", **attributes})


class Loose(BaseModel):
    """Takes anything, says nothing."""

    port: int = 1


BROKEN: dict[str, tuple[Any, str]] = {
    "no class": (3, "is a subclass of scot.provider.Provider"),
    "another class": (dict, "is a subclass of scot.provider.Provider"),
    "no info": (sound_with(info=None), "has `info: ProviderInfo`"),
    "an id without a dot": (
        sound_with(info=ProviderInfo(id="sound", label={"en": "S"})),
        "info.id is dotted",
    ),
    "no English label": (
        sound_with(info=ProviderInfo(id="a.b", label={"ja": "音"})),
        "info.label has `en`",
    ),
    "no docstring": (sound_with(__doc__=None), "has a docstring"),
    "loose options": (sound_with(Options=Loose), "Options forbids unknown keys"),
    "an option without a description": (sound_with(Options=Loose), "option port has a description"),
    "a channel without a label": (
        sound_with(hr=Numeric("hr", unit="/min")),
        "channel hr has a label in en",
    ),
    "a channel without a unit": (
        sound_with(hr=Numeric("hr", label={"en": "HR"})),
        "channel hr has a UCUM unit",
    ),
    "a waveform without a rate": (
        sound_with(art=Waveform("art", unit="mV", label={"en": "A"})),
        "channel art has rate_hz",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_declaration_is_named(what: str) -> None:
    provider, rule = BROKEN[what]
    report = check_declaration(provider)
    assert [line for line in report.failed if line.startswith(rule)], report.failed


async def _nothing(_: DeviceContext[Any]) -> AsyncIterator[Sample]:
    await asyncio.Event().wait()
    yield Sample("", 0, 0, None, 0, "")  # type: ignore[arg-type]


async def _device_error(device: DeviceContext[Any]) -> AsyncIterator[Sample]:
    yield device.sample(HR, NumericValue(1.0))
    raise DeviceError("the cable is out")


async def _crash(device: DeviceContext[Any]) -> AsyncIterator[Sample]:
    yield device.sample(HR, NumericValue(1.0))
    raise ZeroDivisionError("oops")


async def _hole(device: DeviceContext[Any]) -> AsyncIterator[Sample]:
    device.sample(HR, NumericValue(1.0))
    yield device.sample(HR, NumericValue(2.0))


async def _wrong_value(device: DeviceContext[Any]) -> AsyncIterator[Sample]:
    yield device.sample(HR, "seventy")


async def _stranger(device: DeviceContext[Any]) -> AsyncIterator[Sample]:
    sample = device.sample(HR, NumericValue(1.0))
    yield msgspec.structs.replace(sample, address="check/device/other")


async def _late_offer(device: DeviceContext[Any]) -> AsyncIterator[Sample]:
    bare = Channel(name="bare", kind=HR.kind)
    device.offer(bare)
    yield device.sample(bare, NumericValue(1.0))


RUNS: dict[str, tuple[Runner, str]] = {
    "yields nothing": (_nothing, "yields samples: none within 0.2 s"),
    "loses its device": (_device_error, "keeps its device: the cable is out"),
    "crashes": (_crash, "raises only DeviceError: ZeroDivisionError: oops"),
    "leaves a hole": (_hole, "every sample is sound: check/device/hr: seq 1, expected 0"),
    "yields another kind": (
        _wrong_value,
        "every sample is sound: check/device/hr: not a numeric value",
    ),
    "yields what it never offered": (_stranger, "every sample is sound: check/device/other was"),
    "offers a bare channel while it runs": (_late_offer, "channel bare has a label in en"),
}


@pytest.mark.parametrize("what", RUNS)
async def test_a_provider_that_breaks_a_rule_as_it_runs_is_named(what: str) -> None:
    work, rule = RUNS[what]
    report = await check_run(running(work), {}, 0.2)
    assert [line for line in report.failed if line.startswith(rule)], report.failed


async def test_options_it_does_not_accept_are_named() -> None:
    report = await check_run(Sound, {"count": 0}, 0.2)
    assert [line for line in report.failed if line.startswith("accepts the options: ")]
    assert report.samples == 0


PULSE = Command("pulse", label={"en": "Pulse"})
NUMBER = Argument("to", unit="1", lower=0, upper=9, label={"en": "To"})


async def executed(*_: Any) -> None:
    """Do nothing."""


def commanded(*commands: Command, **more: Any) -> list[str]:
    named = {f"command_{place}": command for place, command in enumerate(commands)}
    return check_declaration(sound_with(execute=executed, **named, **more)).failed


def test_a_sound_command_passes() -> None:
    assert commanded(PULSE, Command("set", arguments=[NUMBER], label={"en": "Set"})) == []


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (Command("pulse"), "has a label in en"),
        (Command("pulse", label={"en": "x"}, roles=()), "is for some role"),
        (Command("pulse", label={"en": "x"}, limit_s=0), "has a limit of time"),
        (Command("pulse", arguments=[NUMBER, NUMBER], label={"en": "x"}), "each argument once"),
        (Command("pulse", arguments=[Argument("to", unit="1", label={"en": "x"})]), "both limits"),
        (Command("pulse", arguments=[Argument("to", lower=0, upper=1)]), "has a UCUM unit"),
        (Command("pulse", arguments=[Argument("to", ArgumentType.CHOICE)]), "has choices"),
    ],
)
def test_a_broken_command_is_named(command: Command, rule: str) -> None:
    assert any(rule in failed for failed in commanded(command))


def test_a_command_nobody_carries_out_and_a_channel_of_the_host_are_named() -> None:
    failed = check_declaration(sound_with(pulse=PULSE)).failed
    assert any("is carried out by `execute`" in one for one in failed)
    mine = sound_with(commands=Numeric("commands", unit="1", label={"en": "x"}))
    assert any(
        "leaves health, commands to the host" in one for one in check_declaration(mine).failed
    )


def test_a_report_is_plain_for_machines() -> None:
    report = Report()
    report.rule("one", True, "ignored")
    report.rule("two", False, "seen")
    rows = json.loads(json.dumps(as_rows(report)))
    assert rows == {"passed": ["one"], "failed": ["two: seen"], "samples": 0}
