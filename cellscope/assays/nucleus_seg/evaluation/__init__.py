"""`cellscope nucleus-seg eval`."""
