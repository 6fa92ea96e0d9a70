"""File formats: which come in, how each is opened, and whether a file is whole."""
