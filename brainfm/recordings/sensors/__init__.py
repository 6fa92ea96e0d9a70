"""Channels: which are kept, what they are called, what they measure and where they are."""
