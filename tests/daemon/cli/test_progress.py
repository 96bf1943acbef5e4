"""The bar, on a terminal and away from one."""

import io

import pytest
from rich.console import Console

from bus.commands import Reply
from daemon.cli.progress import Bar


def shown(terminal, *replies: Reply) -> tuple[list[bool], str]:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with Bar("backfill", console) as bar:
        told = [bar.show(reply) for reply in replies]
    return told, console.file.getvalue()


def progress(done: int, total: int | None) -> Reply:
    return Reply("1", "me", "backfill", "progress", {"done": done, "total": total})


@pytest.mark.parametrize(("total", "expected"), [(2_000, "1,000/2,000"), (None, "1,000")])
def test_progress_is_a_bar_with_the_count(total, expected):
    told, text = shown(True, progress(1, total), progress(1_000, total))
    assert told == [True, True]
    assert "backfill" in text
    assert expected in text


def test_other_replies_are_no_business_of_the_bar():
    told, text = shown(
        True,
        Reply("1", "me", "backfill", "accepted"),
        Reply("1", "me", "backfill", "done", {"done": 1, "total": 1}),
        Reply("1", "me", "backfill", "progress", "half"),
    )
    assert told == [False] * 3
    assert "backfill" not in text


def test_away_from_a_terminal_nothing_is_drawn():
    assert shown(False, progress(1, 2)) == ([True], "")
