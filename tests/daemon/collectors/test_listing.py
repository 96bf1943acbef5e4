"""The list of symbols over time: delisted ones stop alone, new ones begin, trouble changes nothing."""

from aiohttp import web

from daemon.collectors import listing
from tests.daemon.collectors.helpers import Tiny


async def test_a_delisted_symbol_stops_alone_and_comes_back_when_it_is_listed_again(stage):
    async with stage.running(Tiny(), ["AAA/USD", "BBB/USD"]) as collector:
        peer = await stage.subscribed(2)
        stage.server.symbols.remove("AAA/USD")
        collector.listing.doubt()
        await stage.until(lambda: peer.streams == {"trade:BBB/USD"}, step=10)
        assert stage.bus.reasons("AAA/USD")[-1] == "tiny has no symbol AAA/USD"
        assert len(stage.server.live) == 1
        stage.server.symbols.append("AAA/USD")
        await stage.until(lambda: peer.streams == {"trade:BBB/USD", "trade:AAA/USD"}, step=60)
        assert len(stage.server.peers) == 1


async def test_the_list_is_asked_for_every_hour(stage):
    async with stage.running(Tiny(silence=1e9), channels=["open_interest"]) as collector:
        await stage.until(lambda: collector.listing.loads == 1)
        await stage.pass_time(listing.INTERVAL * 0.8, step=30)
        assert collector.listing.loads == 1
        await stage.pass_time(listing.INTERVAL * 0.4, step=30)
        assert collector.listing.loads == 2


async def test_doubts_ask_sooner_but_not_at_once_again(stage):
    async with stage.running(Tiny()) as collector:
        await stage.subscribed()
        collector.listing.doubt()
        await stage.pass_time(listing.SOONEST / 2, step=10)
        assert collector.listing.loads == 1
        await stage.until(lambda: collector.listing.loads == 2, step=10)


async def test_a_list_that_cannot_be_had_changes_nothing(stage):
    async with stage.running(Tiny()) as collector:
        peer = await stage.subscribed()
        before = stage.server.requests["/symbols"]
        stage.server.answers["/symbols"] = [web.Response(status=400, text="no")]
        collector.listing.doubt()
        await stage.until(lambda: stage.server.requests["/symbols"] > before, step=10)
        await stage.pass_time(5)
        assert peer.streams == {"trade:AAA/USD"}
        assert "down" not in stage.bus.states("AAA/USD")
