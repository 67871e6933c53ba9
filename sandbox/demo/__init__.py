"""A believable catalogue, and the program that takes it through the line before your eyes."""
