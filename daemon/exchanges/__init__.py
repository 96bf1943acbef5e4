"""One file per exchange: what to subscribe, how to parse, what makes a gap, how to ask for history."""
