"""Valkey and PostgreSQL out of wheels, as children of the daemon."""
