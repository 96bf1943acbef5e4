"""Paper trading: a matching engine for virtual orders against live market data."""
