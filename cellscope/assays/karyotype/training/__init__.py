"""`cellscope karyotype train`."""
