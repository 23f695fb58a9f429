"""`cellscope karyotype eval`."""
