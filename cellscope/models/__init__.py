"""Model files and the registry of the built-in ones."""
