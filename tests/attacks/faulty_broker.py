"""A broker whose access check breaks on one address and one key, as a bug of ours would.

``python -m tests.attacks.faulty_broker broker - --state DIR``: everything else is the true thing.
"""

from __future__ import annotations

import sys

from scot.access import Access, Grant
from scot.host import main as host

ADDRESS = "or1/intruder0/breaks"
HOLDER = "intruder1"


class PlantedError(Exception):
    """What nobody expected."""


def plant() -> None:
    """Make the check of `ADDRESS`, and each question about `HOLDER`'s key, raise."""
    publish, why_not = Grant.may_publish, Access.why_not

    def may_publish(self: Grant, address: str) -> bool:
        if address == ADDRESS:
            raise PlantedError(address)
        return publish(self, address)

    def why(self: Access, public: str, now_ns: int) -> str:
        if self.holder(public) == HOLDER:
            raise PlantedError(HOLDER)
        return why_not(self, public, now_ns)

    Grant.may_publish = may_publish  # type: ignore[method-assign]
    Access.why_not = why  # type: ignore[method-assign]


def main(arguments: list[str]) -> int:
    """Run the host with the fault in it."""
    plant()
    return host(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
