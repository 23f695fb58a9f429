"""`cellscope micronucleus eval`."""
