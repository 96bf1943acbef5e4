"""The simulated exchange: Binance spot's public protocol on loopback."""
