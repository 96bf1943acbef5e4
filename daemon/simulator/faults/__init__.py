"""Everything that can be made to go wrong with the simulated exchange, as it goes wrong with real ones."""
