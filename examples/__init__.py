"""Demo games and example programs."""
