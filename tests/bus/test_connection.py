"""What a URL of Redis may say."""

import pytest

from bus.errors import ConfigError
from bus.redis.connection import connect


@pytest.mark.parametrize("option", ["nonsense", "socket_timeout", "db"])
def test_an_option_that_is_wrong_is_named_and_its_value_is_not(option: str):
    with pytest.raises(ConfigError, match=rf"\({option}\)") as raised:
        connect(f"redis://127.0.0.1:1?{option}=hunter2")
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__
