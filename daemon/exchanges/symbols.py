"""How an exchange's run-together symbol becomes base and quote when its list of instruments does not name it."""

from collections.abc import Mapping
from typing import Final

MAX_SYMBOL: Final = 40

_STABLE: Final = (
    "USDT USDC FDUSD TUSD BUSD USD1 USDE USDP USDS PAX DAI VAI UST EURI AEUR XUSD BFUSD RLUSD BIDR IDRT BVND"
)
_FIAT: Final = "USD EUR GBP AUD TRY BRL RUB UAH NGN ZAR PLN RON ARS MXN JPY CZK COP IDR BKRW GYEN"
_COINS: Final = "BTC ETH BNB XRP TRX DOGE SOL DOT U"
# The longest that fits decides: XUSDT is X/USDT, not XUSD/T.
_QUOTES: Final = sorted(f"{_STABLE} {_FIAT} {_COINS}".split(), key=lambda quote: (-len(quote), quote))


def split(native: str, renamed: Mapping[str, str]) -> tuple[str, str] | None:
    """Return (base, quote) of a symbol such as BTCUSDT by the quote that it ends in, None where none fits.

    `renamed` holds the currency codes that ccxt names otherwise than the exchange does.
    """
    if not (native.isascii() and native.isalnum() and native.isupper() and len(native) <= MAX_SYMBOL):
        return None
    for quote in _QUOTES:
        if native.endswith(quote) and len(native) > len(quote):
            base = native[: -len(quote)]
            return renamed.get(base, base), renamed.get(quote, quote)
    return None
