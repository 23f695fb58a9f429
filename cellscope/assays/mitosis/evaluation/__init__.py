"""`cellscope mitosis eval`."""
