"""Worked scenarios with exact expectations: those handed out with the rules, and small ones of our own."""

import os
from pathlib import Path

import pytest

from handlers.paper.scenario import run
from handlers.paper.scenario_file import RestartStep, Scenario, read

OWN = Path(__file__).with_name("scenarios.json")


def _given() -> list[Scenario]:
    recordings = os.environ.get("MARKETD_RECORDINGS")
    file = Path(recordings).parent / "paper" / "scenarios.json" if recordings else None
    return read(file.read_bytes()) if file is not None and file.is_file() else []


GIVEN = _given()


@pytest.mark.skipif(not GIVEN, reason="the worked scenarios stand beside MARKETD_RECORDINGS, which is not set")
def test_there_are_twelve_given_scenarios():
    assert len(GIVEN) == 12


@pytest.mark.parametrize("given", [*GIVEN, *read(OWN.read_bytes())], ids=lambda given: given.id)
def test_every_item_agrees(given: Scenario):
    outcome = run(given)
    assert outcome.items
    assert [item for item in outcome.items if not item.agrees] == []


@pytest.mark.parametrize("given", [*GIVEN, *read(OWN.read_bytes())], ids=lambda given: given.id)
def test_a_restart_after_every_step_changes_nothing(given: Scenario):
    steps = []
    for step in given.steps:
        steps += [step, RestartStep(step.t, sorted({s.t for s in given.steps if s.t <= step.t}))]
    broken_up = Scenario(given.id, given.config, given.initial, steps, given.expect)
    assert run(broken_up).computed == run(given).computed
