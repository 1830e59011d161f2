"""One function over many cases: on this machine's cores, or on a cluster; one case a task.

A case that fails is an outcome with its error, and the others go on. A worker that dies (killed,
out of memory) costs nothing but the time: what it was at is tried again by itself, so that the case
that kills its worker is found and the innocent ones are not blamed.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from scot.clock import machine
from scot.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from scot.recording import Recording

ATTEMPTS = 2
DIED = "its worker died each time: killed, out of memory, or a crash below Python"
_FIX = "install what it needs: pip install 'scot-bus[fleet]'"

Function = Callable[["Recording"], Any]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one case.

    Attributes:
        case: as it was given.
        value: that the function returned; None when it failed.
        error: one line; empty when it did not fail.
        traceback: of the failure, where it has one.
        seconds: that it took.
        attempts: how often it was tried.
    """

    case: str
    value: Any = None
    error: str = ""
    traceback: str = ""
    seconds: float = 0.0
    attempts: int = 1

    @property
    def ok(self) -> bool:
        """Say whether the function returned."""
        return not self.error


class Outcomes(list[Outcome]):
    """Outcomes in the order of the cases."""

    @property
    def values(self) -> list[Any]:
        """What the function returned, of the cases that did not fail."""
        return [one.value for one in self if one.ok]

    @property
    def failed(self) -> Outcomes:
        """The cases that failed, with their errors."""
        return Outcomes(one for one in self if not one.ok)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a case; values that are mappings become columns."""
        frames: Any = import_module("pandas")
        rows = []
        for one in self:
            value = one.value if isinstance(one.value, Mapping) else {"value": one.value}
            rows.append({"case": one.case, **value, "error": one.error, "seconds": one.seconds})
        table: pd.DataFrame = frames.DataFrame(rows)
        return table


def map(  # noqa: A001 - as in concurrent.futures
    function: Function,
    cases: Iterable[Any],
    *,
    on: Any = None,
    workers: int | None = None,
    attempts: int = ATTEMPTS,
    progress: Callable[[int], None] | None = None,
) -> Outcomes:
    """Run a function on every case and return all outcomes, failures too.

    Args:
        function: is given the opened recording; what it returns must be picklable.
        cases: paths or addresses of recordings, or rows of a catalogue (their ``url``).
        on: None for processes of this machine; the address of a dask scheduler, or a
            `distributed.Client`.
        workers: processes here; as many as there are cores when None.
        attempts: how often a case is tried by itself after a worker died that may have died of it.
        progress: told of each case that is done.

    Raises:
        ConfigError: the cluster cannot be used.
    """
    wanted = [_case(one) for one in cases]
    found: dict[int, Outcome] = {}
    for place, outcome in _each(function, wanted, on, workers, attempts):
        found[place] = outcome
        if progress is not None:
            progress(1)
    return Outcomes(found[place] for place in range(len(wanted)))


def each(
    function: Function,
    cases: Iterable[Any],
    *,
    on: Any = None,
    workers: int | None = None,
    attempts: int = ATTEMPTS,
) -> Iterator[Outcome]:
    """Yield outcomes as they come; arguments as of `map`."""
    wanted = [_case(one) for one in cases]
    for _, outcome in _each(function, wanted, on, workers, attempts):
        yield outcome


def _case(one: Any) -> str:
    return str(one["url"] if isinstance(one, Mapping) else one)


def _each(
    function: Function, cases: list[str], on: Any, workers: int | None, attempts: int
) -> Iterator[tuple[int, Outcome]]:
    packed = _packed(function)
    if on is None:
        yield from _here(packed, cases, workers or os.cpu_count() or 1, attempts)
    else:
        yield from _there(packed, cases, on, attempts)


def _packed(function: Function) -> bytes:
    """Return a function as bytes, by value: one that was written in a notebook, too."""
    pickling: Any = import_module("cloudpickle")
    packed: bytes = pickling.dumps(function)
    return packed


def _run(packed: bytes, case: str, attempt: int) -> Outcome:
    """Run in a worker; whatever goes wrong is text, for an exception may not be picklable."""
    began_s = machine.monotonic_s()
    try:
        scot: Any = import_module("scot")
        function = import_module("cloudpickle").loads(packed)
        recording = scot.open(case)
        try:
            value = function(recording)
            import_module("cloudpickle").dumps(value)  # says here, and not in the pool, if it fails
        finally:
            recording.close()
    except Exception as error:  # noqa: BLE001 - of somebody else's function
        lines = str(error).splitlines() or [""]
        return Outcome(
            case=case,
            error=f"{type(error).__name__}: {lines[0]}",
            traceback=traceback.format_exc(),
            seconds=machine.monotonic_s() - began_s,
            attempts=attempt,
        )
    return Outcome(
        case=case, value=value, seconds=machine.monotonic_s() - began_s, attempts=attempt
    )


def _here(
    packed: bytes, cases: list[str], workers: int, attempts: int
) -> Iterator[tuple[int, Outcome]]:
    waiting = deque(enumerate(cases))
    while waiting:
        suspects: list[tuple[int, str]] = []
        yield from _pool(packed, waiting, workers, 1, suspects)
        for place, case in suspects:
            yield place, _alone(packed, case, attempts)


def _pool(
    packed: bytes,
    waiting: deque[tuple[int, str]],
    workers: int,
    attempt: int,
    suspects: list[tuple[int, str]],
) -> Iterator[tuple[int, Outcome]]:
    """Run what waits until all is done or a worker dies; then `suspects` were being run."""
    running: dict[Future[Outcome], tuple[int, str]] = {}
    pool = _executor(min(workers, len(waiting)))
    try:
        while waiting or running:
            while waiting and len(running) < workers and not suspects:
                place, case = waiting.popleft()
                try:
                    running[pool.submit(_run, packed, case, attempt)] = (place, case)
                except BrokenProcessPool:
                    waiting.appendleft((place, case))
                    break
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                place, case = running.pop(future)
                try:
                    yield place, future.result()
                except BrokenProcessPool:
                    suspects.append((place, case))
    finally:
        pool.shutdown(wait=not suspects, cancel_futures=True)


def _alone(packed: bytes, case: str, attempts: int) -> Outcome:
    """Try a case whose worker may have died of it, in a process of its own."""
    for attempt in range(2, attempts + 2):
        with _executor(1) as pool:
            try:
                return pool.submit(_run, packed, case, attempt).result()
            except BrokenProcessPool:
                continue
    return Outcome(case=case, error=DIED, attempts=attempts + 1)


def _executor(workers: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes; a fork would take the locks of other threads along."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _there(
    packed: bytes, cases: list[str], on: Any, attempts: int
) -> Iterator[tuple[int, Outcome]]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise ConfigError("scot.fleet", "on", "dask.distributed is not installed", _FIX) from None
    client, own = on, isinstance(on, str)
    if own:
        try:
            client = distributed.Client(on, timeout="3s")
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                "scot.fleet", "on", f"no scheduler answers at {on} ({error})",
                "start one: dask scheduler",
            ) from None  # fmt: skip
    try:
        futures = {
            client.submit(_run, packed, case, 1, pure=False, retries=attempts - 1): place
            for place, case in enumerate(cases)
        }
        for future in distributed.as_completed(list(futures)):
            place = futures[future]
            trouble = future.exception()
            if trouble is None:
                yield place, future.result()
            else:
                killed = type(trouble).__name__ == "KilledWorker"
                why = DIED if killed else str(trouble)
                yield place, Outcome(case=cases[place], error=why, attempts=attempts)
    finally:
        if own:
            client.close()
