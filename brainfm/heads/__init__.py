"""`Features` → prediction."""

from brainfm.heads.linear import LinearHead

__all__ = ["LinearHead"]
