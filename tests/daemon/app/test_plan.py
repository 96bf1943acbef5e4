"""What is touched on the way from one list of exchanges to another."""

from daemon.app.plan import plan, steps
from daemon.config import Endpoints, Exchange

A = Exchange(name="a")
B = Exchange(name="b", fallbacks=("a", "c"))


def between(before, after):
    return steps(plan(before, {}), plan(after, {}))


def test_those_that_only_stand_in_run_idle():
    planned = plan([A, B], {})
    assert {name: one.idle for name, one in planned.items()} == {"a": False, "b": False, "c": True}


def test_the_first_plan_starts_everything():
    todo = between([], [A, B])
    assert (todo.dismiss, todo.stop, todo.change) == ([], [], [])
    assert todo.start == ["a", "b", "c"]


def test_nothing_is_touched_where_nothing_changes():
    assert not any(between([A, B], [A, B]))


def test_other_symbols_are_a_change_of_feeds_alone():
    todo = between([A, B], [A, B.model_copy(update={"symbols": ("X/Y",)})])
    assert todo.change == ["b"]
    assert not any([todo.dismiss, todo.stop, todo.start])


def test_another_host_is_another_collector():
    moved = A.model_copy(update={"endpoints": Endpoints(rest="http://h:1")})
    todo = between([A, B], [moved, B])
    assert (todo.stop, todo.start, todo.change) == (["a"], ["a"], [])
    assert todo.dismiss == ["b"], "who relied on the old collector takes the new one"


def test_an_exchange_that_goes_stays_as_a_stand_in():
    todo = between([A, B], [B])
    assert (todo.stop, todo.start, todo.change) == ([], [], ["a"])
    assert not between([A, B], [A]).start
    assert between([A, B], [A]).stop == ["b", "c"]


def test_other_fallbacks_leave_the_connections_alone():
    todo = between([A, B], [A, B.model_copy(update={"fallbacks": ("a",)})])
    assert (todo.stop, todo.start, todo.change) == (["c"], [], ["b"])
    assert todo.dismiss == ["b"]


def test_symbols_that_a_rule_has_chosen_are_a_change_of_feeds_alone():
    todo = steps(plan([A, B], {}), plan([A, B], {"b": ("X/Y",)}))
    assert todo.change == ["b"]
    assert not any([todo.dismiss, todo.stop, todo.start])
