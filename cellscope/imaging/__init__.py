"""Pure functions on image arrays: tone, measurement."""
