"""What happened during a recording: said by the file itself or by label files beside it."""
