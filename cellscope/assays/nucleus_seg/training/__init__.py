"""`cellscope nucleus-seg train`."""
