"""One symbol of the simulated exchange: flow, book, trades, candles, and the messages that each change makes.

Message formats: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

from random import Random
from typing import Final

from daemon.simulator.bars import NAMES, SECOND, Bar, Candles
from daemon.simulator.flow import Flow
from daemon.simulator.history import KEPT, TradeLog
from daemon.simulator.orderbook import BUY, Fill, OrderBook
from daemon.simulator.streams import Streams
from daemon.simulator.symbols import UNIT, Symbol, decimal

PARTIAL: Final = (5, 10, 20)
CACHED: Final = 200_000


class Market:
    """Everything of one symbol. Times are ms; the caller lets time pass and says when a second or 100 ms are over."""

    def __init__(
        self, symbol: Symbol, random: Random, time: int, first_id: int, streams: Streams, kept: int = KEPT
    ) -> None:
        self.symbol = symbol
        self.name = symbol.name
        self.book = OrderBook(first_id)
        self.flow = Flow(symbol, self.book, random)
        self.trades = TradeLog(first_id, kept)
        self.halted = False
        """Whether it is not traded, and its streams are silent."""
        self.candles = Candles(time, symbol.price)
        self._prices: dict[int, str] = {}
        self._amounts: dict[int, str] = {}
        lower = symbol.name.lower()
        get = streams.get
        self._trade = get(f"{lower}@trade")
        self._agg_trade = get(f"{lower}@aggTrade")
        self._book_ticker = get(f"{lower}@bookTicker")
        self._depth = {
            100: (get(f"{lower}@depth@100ms"),),
            1_000: (get(f"{lower}@depth"), get(f"{lower}@depth@1000ms")),
        }
        self._partial = {
            100: [(n, get(f"{lower}@depth{n}@100ms")) for n in PARTIAL],
            1_000: [(n, s) for n in PARTIAL for s in (get(f"{lower}@depth{n}"), get(f"{lower}@depth{n}@1000ms"))],
        }
        self._ticker, self._mini = get(f"{lower}@ticker"), get(f"{lower}@miniTicker")
        self._klines = {name: get(f"{lower}@kline_{name}") for name in NAMES}
        self._sent = {100: self.book.update_id, 1_000: self.book.update_id}
        self._changed: dict[int, tuple[set[int], set[int]]] = {100: (set(), set()), 1_000: (set(), set())}
        self._best: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._collect_changes()
        for bids, asks in self._changed.values():
            bids.clear()
            asks.clear()

    # numbers

    def price(self, ticks: int) -> str:
        """Spell a price."""
        text = self._prices.get(ticks)
        if text is None:
            if len(self._prices) > CACHED:
                self._prices.clear()
            text = self._prices[ticks] = decimal(ticks * self.symbol.tick)
        return text

    def amount(self, lots: int) -> str:
        """Spell an amount."""
        text = self._amounts.get(lots)
        if text is None:
            if len(self._amounts) > CACHED:
                self._amounts.clear()
            text = self._amounts[lots] = decimal(lots * self.symbol.lot)
        return text

    def value(self, tick_lots: int) -> str:
        """Spell a price times an amount, with eight decimals cut off as Binance does."""
        return decimal(tick_lots * self.symbol.tick * self.symbol.lot // UNIT)

    # order flow

    def step(self, time: int) -> None:
        """Let one order come."""
        if self.halted:
            return
        side, fills = self.flow.step()
        if fills:
            self._print(side, fills, time)
        if self._book_ticker.wanted:
            self._tell_best()

    def reset_sequence(self) -> None:
        """Let the ids of book updates start again, lower than ever."""
        self.book.update_id = 1
        self._sent = dict.fromkeys(self._sent, 1)

    def _print(self, side: int, fills: list[Fill], time: int) -> None:
        """Print the trades of one taker order."""
        bought = side == BUY
        maker = "false" if bought else "true"
        trades, gathering = self.trades, self.candles.gathering
        stream = self._trade if self._trade.wanted else None
        first, aggregate_price, aggregate_lots = trades.next, fills[0].price, 0
        for price, lots in fills:
            if price != aggregate_price:
                self._aggregate(first, trades.next - 1, aggregate_price, aggregate_lots, time, maker)
                first, aggregate_price, aggregate_lots = trades.next, price, 0
            number = trades.add(price, lots, time, maker_bought=not bought)
            aggregate_lots += lots
            gathering.trade(number, price, lots, taker_bought=bought)
            if stream is not None:
                stream.send(
                    f'{{"e":"trade","E":{time},"s":"{self.name}","t":{number},"p":"{self.price(price)}",'
                    f'"q":"{self.amount(lots)}","T":{time},"m":{maker},"M":true}}'
                )
        self._aggregate(first, trades.next - 1, aggregate_price, aggregate_lots, time, maker)
        trades.trim()

    def _aggregate(self, first: int, last: int, price: int, lots: int, time: int, maker: str) -> None:
        number = self.trades.aggregate(first, last, lots)
        if self._agg_trade.wanted:
            self._agg_trade.send(
                f'{{"e":"aggTrade","E":{time},"s":"{self.name}","a":{number},"p":"{self.price(price)}",'
                f'"q":"{self.amount(lots)}","f":{first},"l":{last},"T":{time},"m":{maker},"M":true}}'
            )

    def best(self) -> tuple[int, int, int, int]:
        """Return best bid, its lots, best ask, its lots; zeros for an empty side."""
        bids, asks = self.book.bids, self.book.asks
        bid, ask = bids.best or 0, asks.best or 0
        return bid, bids.lots.get(bid, 0), ask, asks.lots.get(ask, 0)

    def _tell_best(self) -> None:
        best = self.best()
        if best != self._best:
            self._best = best
            bid, bid_lots, ask, ask_lots = best
            self._book_ticker.send(
                f'{{"u":{self.book.update_id},"s":"{self.name}","b":"{self.price(bid)}","B":"{self.amount(bid_lots)}",'
                f'"a":"{self.price(ask)}","A":"{self.amount(ask_lots)}"}}'
            )

    # the clock

    def pass_time(self, time: int) -> None:
        """Close the candles that end at or before this time."""
        self.candles.settle()
        for name, bar in self.candles.advance(time):
            stream = self._klines[name]
            if stream.wanted:
                stream.send(self._kline_event(name, bar, time, closed=True))

    def tell_depth(self, period: int, time: int) -> None:
        """Send what changed in the book since the last time, to the listeners of one period (100 or 1000 ms)."""
        self._collect_changes()
        bids, asks = self._changed[period]
        first, last = self._sent[period] + 1, self.book.update_id
        if first <= last:
            self._sent[period] = last
            streams = [stream for stream in self._depth[period] if stream.wanted]
            if streams and (bids or asks):
                message = (
                    f'{{"e":"depthUpdate","E":{time},"s":"{self.name}","U":{first},"u":{last},'
                    f'"b":{self._levels(bids, 0)},"a":{self._levels(asks, 1)}}}'
                )
                for stream in streams:
                    stream.send(message)
            elif streams:
                self._sent[period] = first - 1  # nothing to tell: the ids wait for the next message
            bids.clear()
            asks.clear()
        for count, stream in self._partial[period]:
            if stream.wanted:
                stream.send(self.snapshot(count))

    def _collect_changes(self) -> None:
        for side, of_period in ((self.book.bids, 0), (self.book.asks, 1)):
            for changed in self._changed.values():
                changed[of_period].update(side.changed)
            side.changed.clear()

    def _levels(self, prices: set[int], side: int) -> str:
        lots = self.book.sides[side].lots
        ordered = sorted(prices, reverse=side == 0)
        return (
            "[" + ",".join([f'["{self.price(price)}","{self.amount(lots.get(price, 0))}"]' for price in ordered]) + "]"
        )

    def snapshot(self, count: int) -> str:
        """Return the order book's best levels as Binance's REST answer."""
        sides = [
            ",".join([f'["{self.price(price)}","{self.amount(lots)}"]' for price, lots in side.top(count)])
            for side in self.book.sides
        ]
        return f'{{"lastUpdateId":{self.book.update_id},"bids":[{sides[0]}],"asks":[{sides[1]}]}}'

    def tell_statistics(self, time: int) -> None:
        """Send 24-hour tickers and running candles, once a second."""
        self.candles.settle()
        if self._ticker.wanted:
            self._ticker.send(self.day_event(time))
        if self._mini.wanted:
            self._mini.send(self.mini_event(time))
        for name, stream in self._klines.items():
            if stream.wanted and (name == "1s" or time // SECOND % 2 == 0):
                bar = self.candles.current[name]
                if bar.start < time:
                    stream.send(self._kline_event(name, bar, time, closed=False))

    # messages

    def _kline_event(self, name: str, bar: Bar, time: int, *, closed: bool) -> str:
        return (
            f'{{"e":"kline","E":{time},"s":"{self.name}","k":{{"t":{bar.start},"T":{bar.end - 1},"s":"{self.name}",'
            f'"i":"{name}","f":{bar.first},"L":{bar.last},"o":"{self.price(bar.open)}","c":"{self.price(bar.close)}",'
            f'"h":"{self.price(bar.high)}","l":"{self.price(bar.low)}","v":"{self.amount(bar.lots)}","n":{bar.count},'
            f'"x":{"true" if closed else "false"},"q":"{self.value(bar.value)}","V":"{self.amount(bar.buy_lots)}",'
            f'"Q":"{self.value(bar.buy_value)}","B":"0"}}}}'
        )

    def kline_row(self, bar: Bar) -> str:
        """Return a candle as a row of the REST answer."""
        return (
            f'[{bar.start},"{self.price(bar.open)}","{self.price(bar.high)}","{self.price(bar.low)}",'
            f'"{self.price(bar.close)}","{self.amount(bar.lots)}",{bar.end - 1},"{self.value(bar.value)}",{bar.count},'
            f'"{self.amount(bar.buy_lots)}","{self.value(bar.buy_value)}","0"]'
        )

    def day(self) -> Bar:
        """Return the last 24 hours as one bar."""
        self.candles.settle()
        return self.candles.day.with_running(self.candles.current["1s"])

    def change(self, day: Bar) -> tuple[str, str, str]:
        """Return price change, its percentage, and the volume-weighted average price of the 24 hours."""
        difference = (day.close - day.open) * self.symbol.tick
        percent = round(difference * 100_000 / (day.open * self.symbol.tick)) if day.open else 0
        average = day.value * self.symbol.tick // day.lots if day.lots else 0
        sign = "-" if difference < 0 else ""
        return (
            sign + decimal(abs(difference)),
            f"{'-' if percent < 0 else ''}{abs(percent) // 1_000}.{abs(percent) % 1_000:03d}",
            decimal(average),
        )

    def day_event(self, time: int) -> str:
        """Return the 24-hour ticker's message."""
        day = self.day()
        change, percent, average = self.change(day)
        bid, bid_lots, ask, ask_lots = self.best()
        last = self.trades.get(self.trades.next - 1).lots if self.trades.next > self.trades.first else 0
        return (
            f'{{"e":"24hrTicker","E":{time},"s":"{self.name}","p":"{change}","P":"{percent}","w":"{average}",'
            f'"x":"{self.price(day.open)}","c":"{self.price(day.close)}","Q":"{self.amount(last)}",'
            f'"b":"{self.price(bid)}","B":"{self.amount(bid_lots)}","a":"{self.price(ask)}",'
            f'"A":"{self.amount(ask_lots)}","o":"{self.price(day.open)}","h":"{self.price(day.high)}",'
            f'"l":"{self.price(day.low)}","v":"{self.amount(day.lots)}","q":"{self.value(day.value)}",'
            f'"O":{day.start},"C":{time},"F":{day.first},"L":{day.last},"n":{day.count}}}'
        )

    def mini_event(self, time: int) -> str:
        """Return the small 24-hour ticker's message."""
        day = self.day()
        return (
            f'{{"e":"24hrMiniTicker","E":{time},"s":"{self.name}","c":"{self.price(day.close)}",'
            f'"o":"{self.price(day.open)}","h":"{self.price(day.high)}","l":"{self.price(day.low)}",'
            f'"v":"{self.amount(day.lots)}","q":"{self.value(day.value)}"}}'
        )
