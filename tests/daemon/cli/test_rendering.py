"""How a command's reply is spelled out for people."""

from bus.commands import Problem, Reply
from daemon.cli.rendering import reply_text


def text(result: object) -> str:
    return reply_text(Reply("1", "test", "status", "done", result))


def test_an_outline_has_a_line_per_value_and_per_flat_object():
    result = {
        "roles": {"store": {"state": "running"}},
        "feeds": [{"symbol": "BTC/USDT", "ok": True}],
        "gaps": [],
        "n": None,
    }
    assert text(result).splitlines() == [
        "roles:", "  store:", "    state: running", "feeds:", "  symbol=BTC/USDT  ok=true", "gaps: -", "n: -",
    ]  # fmt: skip


def test_times_are_shown_as_such_and_counts_as_they_are():
    assert (
        text({"since": 1_700_000_000_123_000_000, "rows": 123_456_789})
        == "since: 2023-11-14T22:13:20Z\nrows: 123456789"
    )


def test_a_result_with_a_line_of_its_own_and_an_error_are_a_sentence():
    assert text({"text": "bought", "id": 7}) == "bought"
    assert reply_text(Reply("1", "t", "buy", "failed", None, Problem("x", "too dear"))) == "buy: failed: too dear"
    assert text(None) == "status: done"
