"""`cellscope histo train`."""
