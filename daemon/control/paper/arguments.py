"""What the arguments of paper trading's commands are made of."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from daemon.config.model import Symbol
from daemon.control.command import Arguments


def _text(value: Any) -> Any:
    """Whole numbers may be given as they are; the digits of all others only survive as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Amount = Annotated[str, BeforeValidator(_text), Field(pattern=r"^\d{1,20}(\.\d{1,20})?$")]
"""A decimal number not below 0, as text: "0.5"."""
Name = Annotated[str, BeforeValidator(_text), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
"""A name or an id: letters, digits, and _ . : - in between."""


class OfPortfolio(Arguments):
    """Arguments that name a portfolio."""

    portfolio: Name | Literal[""] = Field(default="", description="its name; may be left out while there is only one")


class OfSymbol(OfPortfolio):
    """Arguments that name a symbol of a portfolio's."""

    symbol: Symbol = Field(description="unified symbol, like BTC/USDT")
    exchange: Name | Literal[""] = Field(default="", description="may be left out where only one has the symbol")
