"""Paper trading as the database has it: what commands and reports tell of portfolios."""
