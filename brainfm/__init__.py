"""Build EEG/MEG foundation models and find out honestly whether they work."""
