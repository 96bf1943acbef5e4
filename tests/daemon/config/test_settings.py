"""A configuration as flat settings: patched, merged over a changed file, built again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import ConfigError
from daemon.config import Config, load
from daemon.config.settings import (
    RestartNeeded,
    build,
    changeable,
    differences,
    everything,
    fixed_changes,
    merge,
    nested,
    patch,
)

TWO = Config.model_validate(
    {"exchanges": [{"name": "binance", "symbols": ["BTC/USDT"]}, {"name": "binanceusdm", "symbols": ["BTC/USDT:USDT"]}]}
)
SECRET = load(None, {"MARKETD_BUS__URL": "redis://:hunter2@h"})


def patched(config, changes, below=None):
    return build(config, patch(changeable(config), changeable(below or config), changes))


def refused(config, changes) -> str:
    with pytest.raises(ConfigError) as caught:
        patched(config, changes)
    return str(caught.value)


def test_settings_are_named_by_section_and_exchange_and_secrets_are_masked():
    shown = everything(SECRET)
    assert shown["log.level"] == "info"
    assert shown["exchanges.binance.symbols"] == ["BTC/USDT", "ETH/USDT"]
    assert shown["store.dsn"] == "embedded"
    assert shown["bus.url"] == "***"
    assert "hunter2" not in str(shown)
    assert nested(shown)["exchanges"]["binance"]["channels"][0] == "trade"
    sections = ("retention.", "log.", "shutdown.", "exchanges.")
    assert not [path for path in changeable(SECRET) if not path.startswith(sections)]


@pytest.mark.parametrize("config", [Config(), TWO, SECRET])
def test_what_is_built_of_its_settings_is_the_same_configuration(config):
    assert build(config, changeable(config)) == config


def test_a_patch_changes_what_it_names_alone():
    config = patched(TWO, {"log": {"level": "debug"}, "exchanges": {"binance": {"symbols": ["SOL/USDT"]}}})
    changed = [change.path for change in differences(everything(TWO), everything(config))]
    assert changed == ["log.level", "exchanges.binance.symbols"]


def test_what_is_kept_for_ever_can_be_limited_and_kept_for_ever_again():
    config = patched(Config(), {"retention": {"trade": 30, "wait_for": "export"}})
    assert (config.retention.trade, config.retention.wait_for) == (30, "export")
    assert patched(config, {"retention": {"trade": None}}, below=Config()).retention.trade is None
    assert "retention.trade" in refused(Config(), {"retention": {"trade": 0}})


def test_exchanges_come_and_go():
    added = patched(Config(), {"exchanges": {"okx": {"symbols": ["BTC/USDT"]}}})
    assert [exchange.name for exchange in added.exchanges] == ["binance", "okx"]
    assert [exchange.name for exchange in patched(added, {"exchanges": {"binance": None}}).exchanges] == ["okx"]
    assert "exchanges.okx is not configured" in refused(Config(), {"exchanges": {"okx": None}})


def test_null_takes_back_what_the_file_says():
    config = patched(Config(), {"log": {"level": "debug"}})
    assert patched(config, {"log": {"level": None}}, below=Config()).log.level == "info"
    rest = {"exchanges": {"binance": {"endpoints": {"rest": "http://h:1"}}}}
    with_rest = patched(Config(), rest)
    assert with_rest.exchanges[0].endpoints.rest == "http://h:1"
    rest["exchanges"]["binance"]["endpoints"]["rest"] = None
    assert patched(with_rest, rest).exchanges[0].endpoints.rest is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"log": {"levle": "debug"}}, "log.levle is not known here; did you mean log.level?"),
        ({"log": {"levle": None}}, "log.levle is not known here"),
        ({"log": {"level": "debgu"}}, "did you mean debug?"),
        ({"lgo": {"level": "debug"}}, "lgo is not known here; did you mean log?"),
        ({"log": "debug"}, "log should be a table"),
        ({"log.level": {"x": 1}}, "tables in tables"),
        ({"log": {"level.x": 1}}, "tables in tables"),
        ({"bus": {"uri": "x"}}, "bus.uri is not known here; did you mean bus.url?"),
        ({"exchanges": {"binance": {"symbols": ["BTCUSDT"]}}}, 'exchanges.binance.symbols[0] = "BTCUSDT": write BTC/'),
        ({"exchanges": {"binance": {"symbol": []}}}, "did you mean exchanges.binance.symbols?"),
        ({"exchanges": {"binance": []}}, "exchanges.binance should be a table of settings, or null"),
        ({"exchanges": [{"name": "x"}]}, "exchanges should be a table"),
        ({"exchanges": {"Binance US": {}}}, "exchanges.Binance US.name"),
    ],
)
def test_what_is_wrong_is_named(changes, expected):
    assert expected in refused(TWO, changes)


@pytest.mark.parametrize(
    "changes", [{"bus": {"url": "redis://h"}}, {"data_dir": "/x"}, {"http": {"listen": "h:1"}}, {"store": {"port": 1}}]
)
def test_what_needs_a_restart_is_refused(changes):
    with pytest.raises(RestartNeeded, match="restart"):
        patched(TWO, changes)


def test_a_file_that_changes_a_secret_needs_a_restart():
    other = load(None, {"MARKETD_BUS__URL": "redis://:hunter3@h", "MARKETD_LOG__LEVEL": "debug"})
    assert fixed_changes(SECRET, other) == ["bus.url"]
    assert fixed_changes(SECRET, SECRET) == []


def test_a_change_holds_until_the_file_changes_the_same_setting():
    file = Config()
    changed = changeable(patched(file, {"log": {"level": "debug"}, "exchanges": {"binance": {"channels": ["trade"]}}}))
    same = build(file, merge(changeable(file), changed, changeable(file)))
    assert (same.log.level, same.exchanges[0].channels) == ("debug", ("trade",))
    file_later = patched(file, {"log": {"level": "error"}})
    later = build(file_later, merge(changeable(file), changed, changeable(file_later)))
    assert (later.log.level, later.exchanges[0].channels) == ("error", ("trade",))


def test_an_exchange_given_up_stays_so_until_the_file_changes_it():
    changed = changeable(patched(TWO, {"exchanges": {"binanceusdm": None}}))
    same = build(TWO, merge(changeable(TWO), changed, changeable(TWO)))
    assert [exchange.name for exchange in same.exchanges] == ["binance"]
    file = patched(TWO, {"exchanges": {"binanceusdm": {"channels": ["trade"]}}})
    later = build(file, merge(changeable(TWO), changed, changeable(file)))
    assert later.exchanges[1].channels == ("trade",)
    assert later.exchanges[1].symbols == ("BTC/USDT:USDT",)


def test_an_exchange_that_the_file_gives_up_is_gone_with_its_changes():
    changed = changeable(patched(TWO, {"exchanges": {"binanceusdm": {"channels": ["trade"]}}}))
    file = patched(TWO, {"exchanges": {"binanceusdm": None}})
    merged = build(file, merge(changeable(TWO), changed, changeable(file)))
    assert [exchange.name for exchange in merged.exchanges] == ["binance"]


PATHS = [f"log.{key}" for key in "abcd"]
FLAT = st.dictionaries(st.sampled_from(PATHS), st.integers(0, 2))


@given(then=FLAT, changed=FLAT, now=FLAT)
def test_merging_takes_each_setting_from_one_side(then, changed, now):
    merged = merge(then, changed, now)
    for path in PATHS:
        wins = changed if (path in then, then.get(path)) == (path in now, now.get(path)) else now
        assert (path in merged, merged.get(path)) == (path in wins, wins.get(path))
