"""One file a command. Each has `register`, which adds it to the application."""
