"""The remote operations of the simulated monitor: who asks comes in on the library's threads.

The monitor itself carries them out, between two blocks of its waveforms; each change of an
operation's state is reported (ISO/IEEE 11073-20701, OperationInvokedReport).
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from sdc11073.provider.baseproduct import BaseProduct
from sdc11073.provider.sco import ScoOperationsRegistry
from sdc11073.xml_types.msg_types import InvocationError, InvocationState

from scot_devices.simulators.monitor_logic import Cuff, Watch
from scot_devices.simulators.monitor_mdib import (
    CUFF_START,
    CUFF_STOP,
    LIMITS,
    NUMERICS,
    Limit,
    limit_handle,
)

MAX_WAITING: Final = 16

_RANGE: Final = {metric.name: (metric.low, metric.high) for metric in NUMERICS}
_LIMIT: Final = {limit_handle(limit): limit for limit in LIMITS}


@dataclass(frozen=True)
class Invocation:
    """One request of a consumer, to be told how it goes on."""

    handle: str
    request: Any
    tell: Callable[[Any, Any, str], None]

    def started(self) -> None:
        """It is being carried out."""
        self.tell(InvocationState.START, None, "")

    def finished(self) -> None:
        """It has been carried out."""
        self.tell(InvocationState.FINISHED, None, "")

    def failed(self, text: str, error: Any = InvocationError.OTHER) -> None:
        """It has not been, and will not be."""
        self.tell(InvocationState.FAILED, error, text)

    def cancelled(self) -> None:
        """Somebody else ended it."""
        self.tell(InvocationState.CANCELLED_MANUALLY, InvocationError.OTHER, "stopped")


class Operations:
    """The monitor's inbox of invocations; hands the library what it needs to fill it."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Invocation] = queue.Queue(MAX_WAITING)

    def take(self) -> Invocation | None:
        """Return the next invocation, None when there is none."""
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None

    def registry(self) -> type[Any]:
        """Return the class by which the library passes requests on."""
        waiting = self._waiting

        class Registry(ScoOperationsRegistry):  # type: ignore[misc, unused-ignore]
            """Puts every request into the inbox; the library's worker would wait for each."""

            def handle_operation_request(
                self, operation: Any, request: Any, operation_request: Any, transaction_id: int
            ) -> tuple[Any, Any]:
                def tell(state: Any, error: Any, text: str) -> None:
                    self._set_service.notify_operation(
                        operation,
                        transaction_id,
                        state,
                        self._mdib.mdib_version_group,
                        operation.operation_target_handle,
                        error,
                        text or None,
                    )

                try:
                    waiting.put_nowait(Invocation(operation.handle, operation_request, tell))
                except queue.Full:
                    return InvocationState.FAILED, self._mdib.mdib_version_group
                tell(InvocationState.WAIT, None, "")
                return InvocationState.WAIT, self._mdib.mdib_version_group

        return Registry


class Product(BaseProduct):  # type: ignore[misc, unused-ignore]
    """Registers every operation that the MDIB describes; the inbox decides what becomes of it."""

    def make_operation_instance(self, descriptor: Any, operation_cls_getter: Any) -> Any:
        """Return the operation of a descriptor."""
        kind = operation_cls_getter(descriptor.NODETYPE)
        return kind(descriptor.Handle, descriptor.OperationTarget, _unused, None, descriptor.Type)


class Operator:
    """Carries out what the inbox holds.

    Args:
        inbox: of invocations.
        cuff: of the monitor.
        watches: one for each limit.
        move: called with a limit that has moved: `watches` follow it already.
    """

    def __init__(
        self, inbox: Operations, cuff: Cuff, watches: list[Watch], move: Callable[[Limit], None]
    ) -> None:
        self._inbox = inbox
        self._cuff = cuff
        self._watches = watches
        self._move = move
        self._measuring: Invocation | None = None

    def work(self, t_s: float) -> None:
        """Carry out everything that waits, at second `t_s` of the story."""
        while (invocation := self._inbox.take()) is not None:
            if invocation.handle == CUFF_START:
                self._start(invocation, t_s)
            elif invocation.handle == CUFF_STOP:
                self._stop(invocation)
            else:
                self._set_limit(invocation)

    def measured(self) -> None:
        """The cuff has measured: whoever started it is told."""
        if self._measuring is not None:
            measuring, self._measuring = self._measuring, None
            measuring.finished()

    def _start(self, invocation: Invocation, t_s: float) -> None:
        if not self._cuff.start(t_s):
            invocation.failed("the cuff is inflated already")
            return
        self._measuring = invocation
        invocation.started()

    def _stop(self, invocation: Invocation) -> None:
        if not self._cuff.stop():
            invocation.failed("the cuff is not inflated")
            return
        if self._measuring is not None:
            measuring, self._measuring = self._measuring, None
            measuring.cancelled()
        invocation.finished()

    def _set_limit(self, invocation: Invocation) -> None:
        proposed = proposed_limit(invocation)
        wrong = proposed if isinstance(proposed, str) else self._crossed(*proposed)
        if wrong or isinstance(proposed, str):
            invocation.failed(wrong, InvocationError.INVALID_VALUE)
            return
        limit, at = proposed
        invocation.started()
        for watch in self._watches:
            if watch.limit.handle == limit.handle:
                watch.limit = replace(watch.limit, at=at)
                self._move(watch.limit)
        invocation.finished()

    def _crossed(self, limit: Limit, at: float) -> str:
        """Say so when the lower limit would lie above the upper one."""
        for watch in self._watches:
            other = watch.limit
            low, high = (other.at, at) if limit.upper else (at, other.at)
            if other.source == limit.source and other.upper != limit.upper and low >= high:
                return f"the other limit of {limit.source} is {other.at:g}"
        return ""


def _unused(_: Any) -> Any:
    raise NotImplementedError("requests go to the inbox")


def proposed_limit(invocation: Invocation) -> tuple[Limit, float] | str:
    """Return which limit a SetAlertState moves, and to where; or what is wrong with it."""
    limit = _LIMIT.get(invocation.handle)
    if limit is None:
        return f"{invocation.handle} moves no limit"
    state = invocation.request.ProposedAlertState
    if state.DescriptorHandle != limit.handle:
        return f"{invocation.handle} moves {limit.handle}, not {state.DescriptorHandle}"
    limits = state.Limits
    moved, other = (limits.Upper, limits.Lower) if limit.upper else (limits.Lower, limits.Upper)
    if moved is None or other is not None:
        return f"{limit.handle} has one limit, its {'upper' if limit.upper else 'lower'} one"
    low, high = _RANGE[limit.source]
    if not Decimal(str(low)) <= moved <= Decimal(str(high)):
        return f"{moved} is not within {low:g} to {high:g}"
    return limit, float(moved)
