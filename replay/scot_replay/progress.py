"""A bar on stderr for what takes more than a second; silent where nobody looks at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from scot.clock import machine

T = TypeVar("T")
AFTER_NS = 1_000_000_000


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is told of each advance, of `total` in all.

    The bar comes after a second, and only on a terminal; it is gone at the end.
    """
    started_ns = machine.monotonic_ns()
    shown: Any = None
    task: Any = None
    done = 0

    def advance(more: int = 1) -> None:
        nonlocal shown, task, done
        done += more
        if shown is not None:
            shown.update(task, completed=done)
        elif sys.stderr.isatty() and machine.monotonic_ns() - started_ns > AFTER_NS:
            from rich.console import Console
            from rich.progress import Progress

            shown = Progress(console=Console(stderr=True), transient=True)
            task = shown.add_task(text, total=total, completed=done)
            shown.start()

    try:
        yield advance
    finally:
        if shown is not None:
            shown.stop()


@contextmanager
def share(text: str) -> Iterator[Callable[[float], None]]:
    """Give a function that is told how much is done, from 0 to 1."""
    told = 0
    with progress(text, 1000) as advance:

        def at(done: float) -> None:
            nonlocal told
            now = round(1000 * done)
            if now > told:
                advance(now - told)
                told = now

        yield at


def follow(text: str, items: Collection[T]) -> Iterator[T]:
    """Yield the items, telling how many are done."""
    with progress(text, len(items)) as advance:
        for item in items:
            yield item
            advance(1)
