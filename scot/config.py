"""The room file: one TOML that names every device of a room.

Every error names the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scot import plugin, zone
from scot.channel import NAME, NAME_RULE
from scot.clock.latency import Latency
from scot.errors import ConfigError

Name = Annotated[str, Field(pattern=NAME.pattern, description=NAME_RULE, examples=["monitor"])]
Label = dict[str, str]
PortNumber = Annotated[int, Field(ge=0, le=65535, description="TCP port; 0 takes a free one")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoomTable(_Table):
    """``[room]``: who this room is."""

    workspace: Annotated[Name, Field(description="first part of every address")] = "or1"
    title: Annotated[Label, Field(description="shown on the wall, by language")] = Field(
        default_factory=lambda: {"en": "OR 1", "ja": "手術室1"}
    )
    case: Annotated[str, Field(max_length=64, description="a number, never a person's name")] = ""
    time_zone: Annotated[
        str, Field(description="IANA name of the zone its clocks read; the machine's when empty")
    ] = ""

    @model_validator(mode="after")
    def _known_zone(self) -> RoomTable:
        if self.time_zone and not zone.known(self.time_zone):
            meant = " or ".join(map(repr, zone.like(self.time_zone)))
            raise ValueError(
                f"time_zone {self.time_zone!r} is not in the IANA time zone database; "
                f"write {meant or 'its name'}, such as 'Asia/Tokyo' or 'Europe/Berlin'"
            )
        return self


class BusTable(_Table):
    """``[bus]``: where the broker listens."""

    host: Annotated[str, Field(description="address to bind")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65530, description="first of six ports; 0 takes free ones")
    ] = 0
    udp: Annotated[
        bool, Field(description="take clock probes over UDP too, at the number of the sixth port")
    ] = True


class RecorderTable(_Table):
    """``[recorder]``: always on unless a room says otherwise."""

    enabled: bool = True
    directory: Annotated[Path, Field(description="parent of each recording")] = Path("recordings")
    segment_s: Annotated[float, Field(ge=5, le=3600, description="length of a segment, s")] = 300.0
    encrypt: Annotated[
        bool, Field(description="with a key of its own for each recording, kept outside it")
    ] = False
    keep_last_s: Annotated[
        float, Field(ge=0, le=86_400, description="keep only so much until a trigger; 0: all")
    ] = 0.0
    trigger: Annotated[
        str,
        Field(
            pattern=rf"^$|{NAME.pattern[:-1]}/[a-z0-9_]{{1,63}}$",
            description="DEVICE/CHANNEL of which any sample triggers; else a pin or a chapter",
        ),
    ] = ""


class DashboardTable(_Table):
    """``[dashboard]``: the page."""

    enabled: bool = True
    host: Annotated[str, Field(description="address to bind; other than loopback needs TLS")] = (
        "127.0.0.1"
    )
    port: PortNumber = 8080
    public_url: Annotated[
        str, Field(pattern=r"^(https://[^/\s]+)?$", description="as remote people reach it")
    ] = ""
    playout_ms: Annotated[int, Field(ge=0, le=2000, description="fixed delay of live, ms")] = 120


class LatencyTable(_Table):
    """``[device.latency]``: how late the device is, as `scot calibrate` wrote it."""

    value_ms: Annotated[float, Field(ge=-10_000, le=10_000, description="taken off its times, ms")]
    err_ms: Annotated[float, Field(ge=0, le=10_000, description="likely (95 %) error of that, ms")]
    method: Annotated[str, Field(max_length=64, description="content, declared, …")] = "declared"
    when: Annotated[str, Field(max_length=64, description="UTC, ISO 8601")] = ""
    against: Annotated[str, Field(max_length=200, description="channel compared with")] = ""
    channel: Annotated[
        str, Field(pattern=rf"^$|{NAME.pattern}", description="only this one; all when empty")
    ] = ""

    def latency(self) -> Latency:
        """Return it as samples are stamped with it."""
        return Latency(
            value_ns=round(self.value_ms * 1e6),
            err_ns=round(self.err_ms * 1e6),
            method=self.method,
            channel=self.channel,
        )


class DeviceTable(_Table):
    """One ``[[device]]``."""

    name: Name
    provider: Annotated[str, Field(description="name in the scot.devices entry points")]
    label: Label = Field(default_factory=dict)
    simulated: Annotated[bool, Field(description="marks its samples as not from a patient")] = False
    silence_limit_s: Annotated[float, Field(gt=0, le=3600, description="DEGRADED after, s")] = 5.0
    options: dict[str, Any] = Field(default_factory=dict)
    latency: LatencyTable | None = None


class SimulatorTable(_Table):
    """One ``[[simulator]]``: a program at the other end of a device's socket."""

    name: Name
    module: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$", description="run with python -m")]
    arguments: list[str] = Field(default_factory=list)


class VolumeTable(_Table):
    """One ``[[volume]]``: the picture behind a frame of reference."""

    frame: Annotated[str, Field(description="frame of the poses drawn on it", examples=["mni152"])]
    file: Annotated[
        str,
        Field(
            pattern=r"^([a-z][a-z0-9_-]{0,62})?$",
            description="bundled volume's name",
            examples=["brain"],
        ),
    ] = ""
    source: Annotated[
        Path | None, Field(description="the patient's own: folder of DICOM, .nii or .nii.gz")
    ] = None
    axes: Annotated[Literal["RAS", "LPS"], Field(description="of the poses in this frame, mm")] = (
        "RAS"
    )
    modality: Annotated[
        str,
        Field(pattern=r"^[A-Z0-9_]{0,16}$", description="DICOM modality, where a file says none"),
    ] = ""
    series: Annotated[
        int | None, Field(description="Series Number, where the folder holds several")
    ] = None
    frame_uid: Annotated[
        str, Field(pattern=r"^[0-9.]{0,64}$", description="Frame of Reference UID it must have")
    ] = ""
    remote: Annotated[
        bool, Field(description="consultants may see it: a scan of a head shows a face")
    ] = False
    text_checked: Annotated[
        bool, Field(description="somebody looked: no name is burnt into a derived or captured one")
    ] = False
    remote_kbit_s: Annotated[
        int, Field(ge=50, le=100_000, description="of a consultant's line that it may take")
    ] = 400

    @model_validator(mode="after")
    def _one_picture(self) -> VolumeTable:
        if bool(self.file) == bool(self.source):
            raise ValueError(
                f"volume of frame {self.frame!r} needs one picture; give file (a bundled one) or "
                "source (the patient's own)"
            )
        return self


class ControlTable(_Table):
    """One ``[[control]]``: a person's key that may command devices. Nobody has any without."""

    name: Name
    role: Annotated[Name, Field(description="as the devices' commands ask for")] = "or_staff"
    commands: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}/[a-z0-9_]{0,63}$")]],
        Field(min_length=1, description="DEVICE/ for all of a device's, or DEVICE/COMMAND"),
    ]


RESERVED = frozenset(
    {"room", "broker", "recorder", "player", "dashboard", "consult", "console", "alarms"}
)


class RoomFile(_Table):
    """A whole room file."""

    room: RoomTable = RoomTable()
    bus: BusTable = BusTable()
    recorder: RecorderTable = RecorderTable()
    dashboard: DashboardTable = DashboardTable()
    device: list[DeviceTable] = Field(default_factory=list)
    simulator: list[SimulatorTable] = Field(default_factory=list)
    volume: list[VolumeTable] = Field(default_factory=list)
    control: list[ControlTable] = Field(default_factory=list)

    def volumes(self) -> dict[str, VolumeTable]:
        """Return the tables by the stem under which a page finds each: no path, no name."""
        return {table.file or f"room{n}": table for n, table in enumerate(self.volume)}

    @model_validator(mode="after")
    def _names_differ(self) -> RoomFile:
        for what, tables in (("device", self.device), ("simulator", self.simulator)):
            seen: set[str] = set()
            for table in tables:
                if table.name in RESERVED:
                    raise ValueError(
                        f"{what} name {table.name!r} belongs to a part of every room; "
                        f"choose another than {', '.join(sorted(RESERVED))}"
                    )
                if table.name in seen:
                    raise ValueError(
                        f"{what} name {table.name!r} is taken; every {what} needs its own"
                    )
                seen.add(table.name)
        holders = [*(table.name for table in self.device), *RESERVED]
        for person in self.control:
            if person.name in holders:
                raise ValueError(f"control name {person.name!r} is taken; every key needs its own")
            holders.append(person.name)
            for prefix in person.commands:
                if prefix.partition("/")[0] not in {table.name for table in self.device}:
                    raise ValueError(
                        f"control {person.name!r} may command {prefix!r}, and the room has no "
                        f"such device; it has: {', '.join(t.name for t in self.device) or 'none'}"
                    )
        return self


def load_room(path: Path, fill: dict[str, str] | None = None) -> RoomFile:
    """Read and check a room file, its providers and their options.

    Args:
        path: TOML.
        fill: values for each ``$name`` in the text (``$$`` is a dollar sign).

    Raises:
        ConfigError: it cannot be read, or a key is wrong; says file, key, value, what is allowed.
    """
    try:
        tables = tomllib.loads(Template(path.read_text("utf-8")).substitute(fill or {}))
    except KeyError as error:
        name = error.args[0]
        raise ConfigError(
            path, "", f"${name} has no value", f"add --set {name}=…, or write $$ for a dollar sign"
        ) from None
    except OSError as error:
        raise ConfigError(
            path, "", f"cannot be read ({error.strerror})", "name an existing room file"
        ) from None
    except ValueError as error:  # bad TOML, bad UTF-8, a lone dollar sign
        raise ConfigError(path, "", f"is not TOML: {error}", "see docs, room file") from None
    room = _beside(parse(RoomFile, tables, path, ""), path)
    for index, device in enumerate(room.device):
        provider_options(device, path, f"device[{index}]")
    return room


def _beside(room: RoomFile, path: Path) -> RoomFile:
    """Return the room with the sources of its volumes found from the room file's own folder."""
    volumes = [
        table.model_copy(update={"source": (path.parent / table.source).resolve()})
        if table.source
        else table
        for table in room.volume
    ]
    return room.model_copy(update={"volume": volumes})


def provider_options(device: DeviceTable, where: str | Path, key: str) -> BaseModel:
    """Return a device's options as its provider's own model.

    Raises:
        ConfigError: no such provider, or it does not accept these options.
    """
    known = plugin.names("scot.devices")
    if device.provider not in known and ":" not in device.provider:
        raise ConfigError(
            where,
            f"{key}.provider",
            f"{device.provider!r} is not installed",
            f"installed providers: {', '.join(known)}",
        )
    try:
        provider = find_provider(device.provider)
    except ConfigError as error:
        raise ConfigError(
            where, f"{key}.provider", f"{device.provider!r} {error.problem}", error.allowed
        ) from error
    if not isinstance(getattr(provider, "Options", None), type):
        raise ConfigError(
            where,
            f"{key}.provider",
            f"{device.provider!r} is no provider",
            "name a subclass of scot.provider.Provider",
        )
    options: BaseModel = parse(provider.Options, device.options, where, f"{key}.options")
    return options


def find_provider(name: str) -> Any:
    """Return a provider class by entry-point name or ``module:Class``.

    Raises:
        ConfigError: there is none, or it cannot be imported.
    """
    if ":" not in name:
        return plugin.load("scot.devices", name)
    return plugin.resolve(name)


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], data: Any, where: str | Path, prefix: str) -> Model:
    """Check plain data against a model; the first error becomes one `ConfigError`."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
        )
        given = repr(first["input"])
        if len(given) > 60:
            given = given[:57] + "..."
        problem, allowed = f"{given} is not allowed", first["msg"]
        if first["type"] == "extra_forbidden":
            problem = "is not a known key"
            allowed = f"allowed here: {', '.join(_holder(model, first['loc']).model_fields)}"
        elif first["type"] == "missing":
            problem = "is missing"
        elif first["type"] == "string_pattern_mismatch":
            field = _holder(model, first["loc"]).model_fields.get(str(first["loc"][-1]))
            if field is not None and field.description:
                allowed = f"{field.description} ({allowed})"
        elif first["type"] == "value_error":
            problem, _, fix = first["msg"].removeprefix("Value error, ").partition("; ")
            allowed = fix or "`scot provider list` says what each option is"
        raise ConfigError(where, key.lstrip("."), problem, allowed) from None


def _holder(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model of the table that holds the last part of `loc`."""
    for part in loc[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            annotation: Any = model.model_fields[part].annotation
            inner = getattr(annotation, "__args__", (annotation,))[0]
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return model
