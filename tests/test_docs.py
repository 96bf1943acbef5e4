"""What a user can set, call or scrape stands in the README."""

import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram

from bus import metrics
from bus.events import MARKET_CHANNELS
from daemon.cli.main import build_parser
from daemon.config import reference
from daemon.exchanges import names
from daemon.simulator.faults.specs import KINDS

README = (Path(__file__).parents[1] / "README.md").read_text()


def _metric_names() -> list[str]:
    found = [value for value in vars(metrics).values() if isinstance(value, Counter | Gauge | Histogram)]
    return [m.describe()[0].name + ("_total" if isinstance(m, Counter) else "") for m in found]


@pytest.mark.parametrize("name", _metric_names())
def test_every_metric_is_in_the_readme_with_prefix_and_unit(name: str):
    assert name.startswith("marketd_")
    assert name in README


@pytest.mark.parametrize("key", [key.name for key in reference()])
def test_every_setting_is_in_the_readme(key: str):
    assert f"`{key}`" in README


def _options() -> list[tuple[str, str]]:
    found = []
    parser = build_parser()
    for command, sub in parser._subparsers._group_actions[0].choices.items():
        inner = sub._subparsers._group_actions[0].choices.values() if sub._subparsers else ()
        actions = [action for one in (sub, *inner) for action in one._actions]
        found += sorted({(command, option) for action in actions for option in action.option_strings})
    return [(c, o) for c, o in found if o not in {"-h", "--help", "--config"}]


@pytest.mark.parametrize(("command", "option"), _options())
def test_every_option_is_in_the_readme(command: str, option: str):
    assert re.search(rf"`marketd {command}[^`]*{option}(?![\w-])", README)


@pytest.mark.parametrize("channel", MARKET_CHANNELS)
def test_every_channel_is_in_the_readme(channel: str):
    assert f"`{channel}`" in README


@pytest.mark.parametrize("name", names())
def test_every_exchange_is_in_the_readme(name: str):
    assert f"`{name}`" in README


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_of_the_simulated_exchange_is_in_the_readme(kind: str):
    assert f"`{kind}`" in README


@pytest.mark.parametrize("argument", sorted({name for model in KINDS.values() for name in model.model_fields}))
def test_every_argument_of_a_fault_is_in_the_readme(argument: str):
    assert argument == "kind" or f"`{argument}`" in README
