"""Trade ids kept as a run and what lies apart from it are a set like any other."""

from hypothesis import given
from hypothesis import strategies as st

from handlers.candles.identities import Identities

ids = st.one_of(st.integers(-5, 40), st.integers(), st.text(max_size=2))


@given(st.lists(ids, max_size=80))
def test_each_id_is_new_once(given_ids):
    kept, known = Identities(), set()
    for identity in given_ids:
        assert kept.add(identity) == (identity not in known)
        known.add(identity)
        assert kept.count == len(known)


def test_ids_in_any_order_end_as_one_run():
    kept = Identities()
    for identity in [*range(100, 200, 2), *range(199, 100, -2)]:
        assert kept.add(identity)
    assert kept.count == 100
    assert not kept._apart  # that it takes no room is what it is for
