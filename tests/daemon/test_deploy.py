"""What is shipped for operators fits the code: units harden, rules name real metrics, the example names every key."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import bus.metrics  # noqa: F401 # registers them
from daemon.config import load, reference

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = ["marketd.service", "marketd@.service"]


def test_the_example_configuration_is_the_default_one():
    assert load(DEPLOY / "marketd.example.toml", {"HOME": "/h"}) == load(None, {"HOME": "/h"})


def test_the_example_configuration_names_every_key():
    section, named = "", set()
    for line in (DEPLOY / "marketd.example.toml").read_text().splitlines():
        if header := re.fullmatch(r"(?:# )?\[\[?([\w.]+)(\]\])?\]?", line):
            section = f"{header[1].replace('.', '[].')}{'[]' if header[2] else ''}."
        elif setting := re.match(r"(?:# )?([a-z_.]+) = ", line):
            named.add(section + setting[1])
    assert named == {key.name for key in reference()}


def metric_names() -> set[str]:
    return {sample.name for family in REGISTRY.collect() for sample in family.samples} | {
        name for family in REGISTRY.collect() for name in _names(family)
    }


def _names(family) -> list[str]:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
    return [family.name + suffix for suffix in suffixes]


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/marketd.json"])
def test_rules_and_dashboard_name_metrics_that_exist(file):
    named = set(re.findall(r"marketd_[a-z0-9_]+", (DEPLOY / file).read_text()))
    assert len(named) > 8
    assert named <= metric_names()


def test_the_dashboard_is_json_with_a_query_in_every_panel():
    panels = json.loads((DEPLOY / "grafana/marketd.json").read_text())["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_units_are_hardened(unit):
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", DEPLOY / unit]
    analysis = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "Overall exposure level" in analysis.stdout, analysis.stderr
    assert analysis.returncode == 0, analysis.stdout[-200:]


def test_both_units_are_hardened_alike():
    hardening = [(DEPLOY / unit).read_text().partition("NoNewPrivileges")[2] for unit in UNITS]
    settings = [[line for line in text.splitlines() if not line.startswith("#")] for text in hardening]
    assert settings[0] == settings[1]
