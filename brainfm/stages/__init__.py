"""One typed function a command, one command a file, so that each imports only what it needs."""
