"""How a portfolio trades: fees, latency, limits, what its stops watch. Decimal strings, as a person writes them."""

from random import Random
from typing import Literal

import msgspec

from handlers.paper import units
from handlers.paper.orders import SelfTrade, Trigger


class Fees(msgspec.Struct, frozen=True):
    """Fee rates ("0.001" is 0.1 %), paid in quote currency or, on buys, in the asset that is received."""

    maker: str = "0.001"
    taker: str = "0.001"
    currency: Literal["quote", "received"] = "quote"


class Latency(msgspec.Struct, frozen=True):
    """How long commands take to the exchange, in ns: a constant each, plus up to `jitter` drawn evenly by `seed`."""

    submit: int = 0
    cancel: int = 0
    jitter: int = 0
    seed: int = 0

    def of(self, serial: int, *, submit: bool) -> int:
        """Return how long one command takes; the same command always takes the same."""
        jitter = Random(f"{self.seed}/{serial}").randint(0, self.jitter) if self.jitter else 0
        return (self.submit if submit else self.cancel) + jitter


class RiskLimits(msgspec.Struct, frozen=True):
    """Limits (none where None): the first four refuse an order, the last two halt trading.

    Notionals and losses in quote currency; `max_drawdown` is a share of the highest equity ("0.2" is 20 %).
    The day of `max_daily_loss` is the UTC day of the market's clock.
    """

    max_order_notional: str | None = None
    max_position_notional: str | None = None
    max_open_orders: int | None = None
    max_orders_per_second: int | None = None
    max_daily_loss: str | None = None
    max_drawdown: str | None = None


class Settings(msgspec.Struct, frozen=True):
    """Everything that a portfolio is set to."""

    fees: Fees = Fees()
    latency: Latency = Latency()
    risk: RiskLimits = RiskLimits()
    self_trade: SelfTrade = "EXPIRE_MAKER"
    trigger: Trigger = "last"

    def check(self) -> None:
        """Raise ValueError for a rate or a limit that is no number or out of range."""
        for rate in (self.fees.maker, self.fees.taker):
            if not 0 <= units.rate(rate) < units.RATE_ONE:
                raise ValueError(f"a fee rate of '{rate}' is not between 0 and 1")
        limits = msgspec.structs.asdict(self.risk)
        for name, limit in limits.items():
            if limit is not None and (units.money(limit) if isinstance(limit, str) else limit) <= 0:
                raise ValueError(f"{name} is not above 0")
        if min(self.latency.submit, self.latency.cancel, self.latency.jitter) < 0:
            raise ValueError("a latency is below 0")
