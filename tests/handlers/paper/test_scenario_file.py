"""What `marketd paper replay` says about files that are wrong."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.main import main
from handlers.paper.scenario_file import RestartStep, read

GOOD: dict[str, Any] = {
    "id": "S1",
    "config": {"instrument": {"symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "tick": "0.01", "step": "0.1"}},
    "initial": {"USDT": "1000"},
    "steps": [
        {"t": 1, "type": "book", "bids": [["99", "1"]], "asks": [["100", "1"]]},
        {"t": 2, "type": "order", "id": "a", "side": "buy", "order_type": "limit", "qty": "1", "price": "99"},
        {"t": 3, "type": "trade", "aggressor": "sell", "size": "1", "price": "99", "note": "not one of our words"},
    ],
    "expect": {"orders": {"a": {"status": "NEW", "filled": "0"}}, "checks": [{"after_t": 2}]},
}


def _file(*path: Any, to: Any = None) -> bytes:
    """The good file with one value changed, or taken out where there is no value."""
    scenario = copy.deepcopy(GOOD)
    at: Any = scenario
    for key in path[:-1]:
        at = at[key]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return json.dumps({"scenarios": [scenario]}).encode()


def _replay(*args: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["paper", "replay", *args])
    assert isinstance(left.value.code, int)
    return left.value.code


def test_the_good_one_is_good():
    assert [scenario.id for scenario in read(json.dumps({"scenarios": [GOOD]}).encode())] == ["S1"]


def test_a_restart_lists_times_under_any_name():
    restart = {"t": 4, "type": "restart", "redelivered": [2, 3]}
    [scenario] = read(_file("steps", to=[*GOOD["steps"], restart]))
    assert scenario.steps[-1] == RestartStep(4, [2, 3])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{]", ["malformed"]),
        (b"[]", ['a list of "scenarios"']),
        (b'{"scenarios": [3]}', ["scenarios[0] is not an object"]),
        (json.dumps({"scenarios": [GOOD, GOOD]}).encode(), ["scenarios[1]", "S1", "before"]),
        (_file("id"), ["scenarios[0]", "`id`"]),
        (_file("config"), ["S1", "`config`"]),
        (_file("config", "instrument", "tick"), ["S1", "`tick`", "config.instrument"]),
        (_file("config", "instrument", "tick", to="0"), ["S1", "tick and step must be above 0"]),
        (_file("config", "fees", to={"maker": "2"}), ["S1", "fee rate of '2'"]),
        (_file("config", "stp", to="MAYBE"), ["S1", "'MAYBE'", "$.config.stp"]),
        (_file("config", "latency_ms", to=-1), ["S1", "latency"]),
        (_file("initial", "USDT", to="much"), ["S1", "'much'"]),
        (_file("initial", "USDT", to="-1"), ["S1", "USDT", "less than nothing"]),
        (_file("steps", 1, "type", to="ordr"), ["S1", "steps[1]", "'ordr'", "order"]),
        (_file("steps", 1, "side"), ["S1", "`side`", "steps[1]"]),
        (_file("steps", 1, "qty", to=1), ["S1", "`str | null`", "steps[1].qty"]),
        (_file("steps", 1, "order_type", to="iceberg"), ["S1", "'iceberg'", "steps[1].order_type"]),
        (_file("steps", 1, to={**GOOD["steps"][1], "stpo": "98"}), ["S1", "steps[1]", "'stpo'", "'stop'"]),
        (_file("steps", 1, to={**GOOD["steps"][1], "tif": "GTD"}), ["S1", "steps[1]", "expire_t"]),
        (_file("steps", 2, "t", to=1), ["S1", "steps[2]", "t=1", "t=2"]),
        (_file("steps", 2, "price", to="ten"), ["S1", "steps[2]", "'ten'"]),
        (_file("steps", 2, "price", to="-3"), ["S1", "steps[2]", "-3"]),
        (_file("steps", 0, "asks", to=[["100"]]), ["S1", "steps[0].asks"]),
        (_file("steps", 0, "asks", to=[["100.0000000001", "1"]]), ["S1", "steps[0]", "decimals"]),
        (_file("expect", "checks", 0, to={"equity": "1"}), ["S1", "expect.checks[0]", "after_t"]),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong_and_where(
    data: bytes, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "file.json"
    file.write_bytes(data)
    assert _replay(str(file)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err


def test_what_agrees_and_what_differs_is_told_item_by_item(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "file.json"
    file.write_bytes(json.dumps({"scenarios": [GOOD]}).encode())
    assert _replay(str(file), "--scenario", "S1") == 0
    assert "S1: agrees" in capsys.readouterr().out
    file.write_bytes(_file("expect", "orders", "a", to={"status": "FILLED", "filled": "0.0"}))
    assert _replay(str(file)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "S1: differs in 1 of 3 items"
    assert [line.split()[-1] for line in lines if line.strip().startswith("orders.a")] == ["differs", "agrees"]


def test_json_has_what_was_computed_in_the_shape_of_what_is_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "file.json"
    file.write_bytes(_file("expect", "orders", "a", to={"status": "FILLED", "filled": "0"}))
    assert _replay(str(file), "--json") == 1
    computed = json.loads(capsys.readouterr().out)
    assert computed == {"S1": {"orders": {"a": {"status": "NEW", "filled": "0"}}, "checks": [{"after_t": 2}]}}


def test_a_file_or_a_scenario_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert _replay(str(tmp_path / "none")) == 2
    assert "cannot read" in capsys.readouterr().err
    file = tmp_path / "file.json"
    file.write_bytes(json.dumps({"scenarios": [GOOD]}).encode())
    assert _replay(str(file), "--scenario", "S2") == 2
    assert "there is no scenario 'S2'" in capsys.readouterr().err
