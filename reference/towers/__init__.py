"""Plain vision towers: the arithmetic, written to be read."""
