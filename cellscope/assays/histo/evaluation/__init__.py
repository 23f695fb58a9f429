"""`cellscope histo eval`."""
