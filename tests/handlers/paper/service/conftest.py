"""The paper handler on a database of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.handlers.paper.service.flow import Stand


@pytest.fixture
async def stand(database: str) -> AsyncIterator[Stand]:
    made = await Stand(database).open()
    yield made
    await made.handler.close()
