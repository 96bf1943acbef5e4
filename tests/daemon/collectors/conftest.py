"""The stage on which collectors are tested."""

import pytest

from tests.daemon.collectors.helpers import make_stage


@pytest.fixture
async def stage():
    async with make_stage() as made:
        yield made
