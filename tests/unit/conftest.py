"""What every unit test has: a state folder of its own, never the one of who runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep keys and the site's log of recordings that tests make away from this machine's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCOT_STATE", str(tmp_path_factory.mktemp("state")))
        yield
