"""The type that Cyclone DDS carries; imported only where it is installed."""

# No `from __future__ import annotations`: the binding reads the types themselves.

from dataclasses import dataclass

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import sequence, uint8


@dataclass
class Message(IdlStruct, typename="scot.Message"):  # type: ignore[misc, call-arg]
    """A name and bytes."""

    name: str
    data: sequence[uint8]
