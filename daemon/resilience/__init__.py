"""How the daemon treats exchanges that fail or limit us: back-off, limiters, circuit breakers; no network code here."""
