"""Building a tier from definitions, all or nothing."""
