"""``tierctl doctor``."""
