"""Feeds as settings, and settings as feeds."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.collectors.symbols import feeds_of
from daemon.config import Exchange
from daemon.exchanges.base import Endpoints, FeedKey
from daemon.feeds import configured, described, settings_of

EXCHANGE = Exchange(name="x", symbols=("A/B", "C/D"), channels=("trade", "candle"), timeframes=("1m", "5m"))
BLOCKS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(["A/B", "C/D", "E/F"]), min_size=1),
        st.sets(st.sampled_from(["trade", "candle", "book"]), min_size=1),
        st.sets(st.sampled_from(["1m", "5m"]), min_size=1),
    ),
    min_size=1,
    max_size=4,
)


@given(blocks=BLOCKS)
def test_any_feeds_become_settings_and_the_same_feeds_again(blocks):
    feeds = {feed for block in blocks for feed in feeds_of(*map(sorted, block))}
    again = Exchange.model_validate({**EXCHANGE.model_dump(), **described(EXCHANGE, sorted(feeds))})
    assert set(configured(again)) == feeds


def test_symbols_with_all_channels_stand_in_the_list_of_symbols():
    feeds = configured(EXCHANGE)
    assert described(EXCHANGE, feeds) == {"symbols": ["A/B", "C/D"], "feeds": []}
    more = described(EXCHANGE, [*feeds, FeedKey("E/F", "trade"), FeedKey("G/H", "trade")])
    assert more == {"symbols": ["A/B", "C/D"], "feeds": [{"symbols": ["E/F", "G/H"], "channels": ["trade"]}]}
    assert described(EXCHANGE, [feed for feed in feeds if feed != FeedKey("A/B", "candle", "5m")]) == {
        "symbols": ["C/D"],
        "feeds": [{"symbols": ["A/B"], "channels": ["candle", "trade"], "timeframes": ["1m"]}],
    }


def test_what_a_rule_has_chosen_comes_with_all_channels_beside_what_is_named():
    settings = settings_of(EXCHANGE, Endpoints("http://own", "ws://own"), chosen=["C/D", "E/F"])
    assert set(settings.keys()) == {*configured(EXCHANGE), *feeds_of(["E/F"], EXCHANGE.channels, EXCHANGE.timeframes)}
    assert settings_of(EXCHANGE, Endpoints("", ""), idle=True, chosen=["E/F"]).keys() == []
