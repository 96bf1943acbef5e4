"""An id is text, also where it looks like a number."""

import pytest

from daemon.cli.ctl import parse_arguments
from daemon.control.command import Arguments, Command, Identifier
from daemon.control.request import Rejected


class Named(Arguments):
    id: Identifier


async def _nothing(_: Named) -> None:
    return None


COMMAND = Command("named", Named, _nothing)


@pytest.mark.parametrize("text", ["188524700274", "1e5247002741", "0012", "1.5", "12ab", "-3", '"12"'])
def test_an_id_arrives_as_it_was_typed(text: str):
    assert COMMAND.parse(parse_arguments([f"id={text}"])).id == text.strip('"')


@pytest.mark.parametrize("value", [True, None, 1.5, ["a"], {"a": 1}])
def test_what_cannot_be_an_id_is_refused(value: object):
    with pytest.raises(Rejected, match="id"):
        COMMAND.parse({"id": value})
