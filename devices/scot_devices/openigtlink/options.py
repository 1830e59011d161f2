"""``[device.options]`` of an OpenIGTLink tracker, checked before anything is connected."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from scot.channel import NAME, NAME_RULE
from scot_devices.openigtlink.registration import RegistrationOptions

Place = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class AvoidOptions(BaseModel):
    """A ball around a structure that the tool keeps away from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(max_length=32, description="on the screen, in the room only")]
    at_mm: Annotated[Place, Field(description="centre, in the tool's frame, mm")]
    radius_mm: Annotated[float, Field(ge=0, le=200, description="of the structure, mm")] = 0.0


class ToolOptions(BaseModel):
    """One tool that the room file describes, with the plan it is steered by, if there is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=32, description="on the wire, exactly")]
    channel: Annotated[str | None, Field(pattern=NAME.pattern, description=NAME_RULE)] = None
    label: Annotated[dict[str, str], Field(description="by language")] = Field(default_factory=dict)
    error_mm: Annotated[
        float | None, Field(gt=0, le=100, description="declared accuracy, 95 %, mm")
    ] = None
    frame: Annotated[str | None, Field(description="frame of reference; None: the device's")] = None
    axis: Annotated[
        str, Field(pattern=r"^([+-][xyz])?$", description="of the tool, along its shaft to the tip")
    ] = ""
    target_mm: Annotated[Place | None, Field(description="planned target, in its frame, mm")] = None
    entry_mm: Annotated[Place | None, Field(description="planned entry, in its frame, mm")] = None

    margin_mm: Annotated[
        float | None, Field(gt=0, le=100, description="warn when nearer to what `avoid` names, mm")
    ] = None
    corridor_mm: Annotated[
        float | None, Field(gt=0, le=100, description="warn when farther from entry–target, mm")
    ] = None
    beyond_mm: Annotated[
        float | None, Field(ge=0, le=100, description="warn when farther past the target, mm")
    ] = None
    avoid: Annotated[
        list[AvoidOptions], Field(max_length=16, description="structures to keep away from")
    ] = Field(default_factory=list)

    @model_validator(mode="after")
    def _plan_is_whole(self) -> ToolOptions:
        line = self.entry_mm is not None and self.target_mm is not None
        for name in ("corridor_mm", "beyond_mm"):
            if getattr(self, name) is not None and not line:
                raise ValueError(
                    f"{name} of tool {self.name!r} is measured from the planned line, and there is "
                    "none; give entry_mm and target_mm too"
                )
        if line and self.entry_mm == self.target_mm:
            raise ValueError(f"entry and target of tool {self.name!r} are one point; move one")
        return self

    @property
    def attrs(self) -> dict[str, Any]:
        """What the channel's ``attrs`` say of the tool: wire name, shaft axis, plan.

        Positions and limits are numbers, so that they reach a consultant; names do not.
        """
        said = {"axis": self.axis, "target_mm": self.target_mm, "entry_mm": self.entry_mm}
        plain: dict[str, Any] = {
            k: list(v) if isinstance(v, tuple) else v for k, v in said.items() if v
        }
        limits = {k: getattr(self, k) for k in ("margin_mm", "corridor_mm", "beyond_mm")}
        plain |= {k: v for k, v in limits.items() if v is not None}
        if self.avoid:
            plain["avoid_mm"] = [[*ball.at_mm, ball.radius_mm] for ball in self.avoid]
            plain["avoid_names"] = [ball.name for ball in self.avoid]
        return {"tool": self.name, **plain}


class TrackerOptions(BaseModel):
    """``[device.options]`` of an OpenIGTLink tracker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(min_length=1, description="name or address of the server")]
    port: Annotated[int, Field(ge=1, le=65535, description="TCP port of the server")] = 18944
    tools: Annotated[
        list[ToolOptions], Field(max_length=64, description="what is known of each tool")
    ] = Field(default_factory=list)
    discover: Annotated[bool, Field(description="give unknown tools a channel")] = True
    frame: Annotated[str, Field(description="frame of reference, such as mni152")] = ""
    start_tdata: Annotated[bool, Field(description="ask with STT_TDATA")] = False
    tdata_interval_ms: Annotated[int, Field(ge=0, le=60_000, description="0: every frame")] = 0
    tdata_frame: Annotated[str, Field(max_length=32, description="coordinate system")] = ""
    connect_timeout_s: Annotated[
        float, Field(gt=0, le=60, description="for the server to take the connection, s")
    ] = 3.0
    silence_limit_s: Annotated[float, Field(gt=0, le=600, description="DEGRADED after, s")] = 2.0
    reconnect_after_s: Annotated[
        float, Field(gt=0, le=3600, description="of silence, the connection is made anew")
    ] = 10.0
    max_errors: Annotated[int, Field(ge=1, le=10_000, description="then it is made anew")] = 20
    max_body_bytes: Annotated[
        int, Field(ge=1024, le=64 << 20, description="larger messages are skipped")
    ] = 8 << 20

    registration: Annotated[
        RegistrationOptions | None, Field(description="from the tools' frame to a picture's")
    ] = None

    @model_validator(mode="after")
    def _registration_leads_elsewhere(self) -> TrackerOptions:
        if self.registration is None:
            return self
        if not self.frame or self.frame == self.registration.frame:
            raise ValueError(
                f"tools are told in frame {self.frame!r} and registered to "
                f"{self.registration.frame!r}; give each its own name (frame, registration.frame)"
            )
        if self.registration.reference and self.registration.reference not in {
            tool.name for tool in self.tools
        }:
            raise ValueError(
                f"registration.reference {self.registration.reference!r} is none of the tools; "
                "name it there as it is on the wire"
            )
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> TrackerOptions:
        wire = [tool.name for tool in self.tools]
        taken = ["registration", "registration_state"] if self.registration else []
        channels = ["status", *taken, *(tool.channel for tool in self.tools if tool.channel)]
        for what, names in (("tool", wire), ("channel", channels)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is named twice; each needs its own name")
        return self

    @property
    def where(self) -> str:
        """``host:port``, for people."""
        return f"{self.host}:{self.port}"
