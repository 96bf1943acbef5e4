"""What runs exchange translators: websocket, polling, backfill."""
