"""Where orders go: paper trading or an exchange, behind one interface; a portfolio says which."""

from daemon.trading.service import Services, TradingService

__all__ = ["Services", "TradingService"]
