"""A mistake on the command line or in the configuration is answered in one sentence that names it and the fix."""

import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.cli import main
from daemon.cli.main import build_parser

CONFIGS = {
    "typo.toml": ('[store]\ndns = "embedded"\n', ["store.dns", "store.dsn"]),
    "type.toml": ("[bus]\nmax_entries = 'many'\n", ["bus.max_entries"]),
    "symbol.toml": ('[[exchanges]]\nname = "binance"\nsymbols = ["BTCUSDT"]\n', ["BTCUSDT", "BTC/USDT"]),
    "channel.toml": ('[[exchanges]]\nname = "binance"\nchannels = ["trades"]\n', ["trades", "trade"]),
    "broken.toml": ("[bus\n", ["broken.toml", "line 1"]),
    "version.toml": ("version = 9\n", ["version", "9"]),
}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["COMMAND"]),
        (["rnu"], ["rnu", "run"]),
        (["run", "--dmeo"], ["--dmeo", "--demo"]),
        (["run", "--role", "colect"], ["colect", "collect"]),
        (["run", "--role", "handle:persistance"], ["persistance", "persistence"]),
        (["run", "--role", "handle:persistence-3of2"], ["3of2", "1of2 in one process and 2of2 in the other"]),
        (["run", "--role", "handle:books-1of2,books-2of2"], ["books-2of2", "twice", "one part"]),
        (["run", "--role", "handle:gaps-1of2"], ["gaps", "belong together", "validation, persistence, books"]),
        (["run", "now"], ["now"]),
        (["simulate", "--rate", "0"], ["rate", "50000"]),
        (["simulate", "--rate", "fast"], ["rate", "fast"]),
        (["simulate", "--port", "99999"], ["port", "99999"]),
        (["tail", "--channel", "trades"], ["trades", "trade"]),
        (["tail", "--count", "many"], ["count", "many"]),
        (["tail", "--count", "0"], ["--count", "less than 1"]),
        *(
            (["ctl", "ping", "--timeout", wrong], ["--timeout", wrong, "seconds"])
            for wrong in ("0", "inf", "nan", "soon")
        ),
        (["record", "binance", "BTC/USDT", "--output", "x", "--seconds", "inf"], ["--seconds", "inf"]),
        (["run", "--rol", "all"], ["Did you mean '--role'? Run"]),
        (["data", "download", "binanse", "BTC/USDT", "--since", "1h ago"], ["binanse", "binance"]),
        (["exchange", "test", "binanse"], ["binanse", "binance"]),
        (["record", "binanse", "BTC/USDT", "--output", "x"], ["binanse", "binance"]),
        (["replay", "nowhere.jsonl.gz"], ["nowhere.jsonl.gz"]),
        (["replay", "x", "--speed", "0"], ["speed", "0"]),
        (["ctl"], ["COMMAND"]),
        (["exchange", "tset"], ["tset", "test"]),
        (["record", "binance"], ["SYMBOL"]),
        (["data", "stat"], ["stat", "stats"]),
        (["data", "stats", "--since", "yesterday"], ["yesterday", "2024-08-08"]),
        (["data", "gaps", "--state", "opne"], ["opne", "open"]),
        (["data", "export"], ["--output"]),
        (["data", "export", "--output", "x", "--format", "parket"], ["parket", "parquet"]),
        (["db", "bakcup"], ["bakcup", "backup"]),
        (["db", "restore"], ["FILE"]),
        (["data", "gaps", "--stat", "open"], ["--stat"]),
    ],
)
def test_wrong_usage_is_one_line_with_the_nearest_right_word(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[str]
):
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    for word in expected:
        assert word in err


@pytest.mark.parametrize(
    "words", ["log.level --json level=info x=1", "--json log.level level=info x=1", "log.level level=info --json x=1"]
)
def test_a_commands_arguments_may_stand_on_both_sides_of_an_option(words: str):
    parsed = build_parser().parse_args(["ctl", *words.split()])
    assert (parsed.name, parsed.arguments, parsed.json) == ("log.level", ["level=info", "x=1"], True)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_configuration_is_one_line_that_names_the_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
):
    text, expected = CONFIGS[name]
    file = tmp_path / name
    file.write_text(text)
    for arguments in (
        ["--config", str(file), "check"], ["check", "--config", str(file)], ["data", "stats", "--config", str(file)]
    ):  # fmt: skip
        status, _, err = run(capsys, *arguments)
        assert status == 78
        assert len(err.strip().splitlines()) == 1
        for word in expected:
            assert word in err


def test_a_fallback_that_there_is_not_is_named_with_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    file = tmp_path / "m.toml"
    file.write_text('[[exchanges]]\nname = "kraken"\nsymbols = ["BTC/USD"]\nfallbacks = ["binanse"]\n')
    status, out, err = run(capsys, "--config", str(file), "check")
    assert (status, out) == (78, "")
    assert "did you mean binance" in err


def test_a_configuration_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]):
    status, _, err = run(capsys, "--config", "no/such.toml", "tail")
    assert status == 78
    assert "no/such.toml" in err


def test_commands_that_need_a_daemon_say_that_none_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MARKETD_DATA_DIR", str(tmp_path / "data"))
    for arguments in (["env"], ["tail"], ["ctl", "ping"]):
        status, _, err = run(capsys, *arguments)
        assert status == 1
        assert re.search(r"no marketd runs on .*start one with 'marketd run'", err)


def test_an_argument_without_equals_sign_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MARKETD_DATA_DIR", str(tmp_path / "data"))
    status, _, err = run(capsys, "ctl", "log.level", "debug")
    assert status == 2
    assert "debug" in err
    assert "key=value" in err


@pytest.mark.parametrize("command", ["", "run", "tail", "simulate", "replay", "record", "ctl", "exchange", "migrate"])
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str):
    status, out, _ = run(capsys, *([command] if command else []), "--help")
    assert status == 0
    assert "usage: marketd" in out


def test_an_end_before_the_beginning_is_a_mistake(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("daemon.servers.serve", lambda *_, **__: nullcontext(SimpleNamespace(dsn="")))
    monkeypatch.setenv("MARKETD_DATA_DIR", str(tmp_path))
    code, _, errors = run(capsys, "data", "stats", "--since", "2024-01-02", "--until", "2024-01-01")
    assert (code, errors) == (2, "marketd: --since is not before --until: nothing lies between\n")
