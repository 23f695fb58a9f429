"""`cellscope micronucleus train`."""
