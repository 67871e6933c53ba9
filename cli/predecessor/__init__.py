"""What is left of the service before this one: its environment file and its table of tasks, both only read."""
