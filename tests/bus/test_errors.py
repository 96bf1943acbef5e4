"""What errors say."""

import pytest

from bus.errors import said


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(OSError("no route"), "no route"), (TimeoutError(), "no answer in time"), (ConnectionResetError(), "Connection")],
)
def test_an_error_without_words_is_told_by_its_kind(error: Exception, sentence: str):
    assert said(error).startswith(sentence)
