"""What the arguments of paper trading's commands are made of."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from daemon.config.model import Symbol
from daemon.control.command import Arguments, Identifier, as_text

_DECIMAL: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


def _decimal(text: str) -> str:
    if not _DECIMAL.fullmatch(text):
        raise ValueError('should be a decimal number not below 0, like "0.5"')
    return text


Amount = Annotated[str, BeforeValidator(as_text), AfterValidator(_decimal)]
"""A decimal number not below 0: "0.5". What is no whole number must be text, where all its digits survive."""
Name = Annotated[Identifier, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
"""A name or an id: letters, digits, and _ . : - in between."""


class OfPortfolio(Arguments):
    """Arguments that name a portfolio."""

    portfolio: Name | Literal[""] = Field(default="", description="its name; may be left out while there is only one")


class OfSymbol(OfPortfolio):
    """Arguments that name a symbol of a portfolio's."""

    symbol: Symbol = Field(description="unified symbol, like BTC/USDT")
    exchange: Name | Literal[""] = Field(default="", description="may be left out where only one has the symbol")
