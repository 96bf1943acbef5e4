"""The process: collectors in front of the bus, handlers behind it, and everything around them."""
