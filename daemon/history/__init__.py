"""The past of trades and candles, from the exchanges into the database: only what is missing, and checked."""
