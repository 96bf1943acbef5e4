"""What has to be done to get from what runs for one list of exchanges to what has to run for another."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from daemon.config import Exchange


class Planned(NamedTuple):
    """One exchange that runs; an idle one delivers nothing until it has to stand in for another."""

    exchange: Exchange
    idle: bool
    chosen: tuple[str, ...] = ()
    """The symbols that its rule has chosen."""


class Steps(NamedTuple):
    """The steps, by names of exchanges, in their order; what is not named is not touched."""

    dismiss: list[str]
    """Whose fallbacks stand in no more, or have to be found anew."""
    stop: list[str]
    start: list[str]
    change: list[str]
    """Whose feeds change while their connections stay."""


def plan(exchanges: Sequence[Exchange], chosen: Mapping[str, tuple[str, ...]]) -> dict[str, Planned]:
    """Return what runs for these exchanges, by name: they, and idle those that are only named as fallbacks.

    `chosen`: the symbols that rules have chosen, by exchange.
    """
    wanted = {each.name: Planned(each, idle=False, chosen=chosen.get(each.name, ())) for each in exchanges}
    spare = sorted({name for exchange in exchanges for name in exchange.fallbacks} - wanted.keys())
    return wanted | {name: Planned(Exchange(name=name), idle=True) for name in spare}


def steps(before: Mapping[str, Planned], after: Mapping[str, Planned]) -> Steps:
    """Return the least that leads from one plan to the other."""
    anew = {name for name in before.keys() & after.keys() if _root(before[name]) != _root(after[name])}
    stop = [name for name in before if name not in after or name in anew]
    start = [name for name in after if name not in before or name in anew]
    change = [name for name in after if name in before and name not in anew and before[name] != after[name]]
    touched = {*stop, *start, *change}

    def fallbacks(plans: Mapping[str, Planned], name: str) -> tuple[str, ...]:
        return plans[name].exchange.fallbacks if name in plans else ()

    dismiss = [
        name
        for name in before
        if name in stop
        or fallbacks(before, name) != fallbacks(after, name)
        or touched.intersection(fallbacks(after, name))
    ]
    return Steps([name for name in dismiss if fallbacks(before, name)], stop, start, change)


def _root(planned: Planned) -> tuple[object, ...]:
    """Return what a collector is made of: when this changes it is made anew."""
    return planned.exchange.endpoints, planned.exchange.trades
