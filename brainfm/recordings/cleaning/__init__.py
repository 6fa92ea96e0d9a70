"""Cleaning in one pass, and what cannot be trusted: bad channels, flat and saturated stretches, units."""
