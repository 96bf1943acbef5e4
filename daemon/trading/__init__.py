"""Where orders go: paper trading or an exchange, behind one interface; a portfolio says which."""

from daemon.trading.service import LiveTrading, Services, TradingService

__all__ = ["LiveTrading", "Services", "TradingService"]
