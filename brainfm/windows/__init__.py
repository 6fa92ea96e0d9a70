"""Store → `Batch`."""
