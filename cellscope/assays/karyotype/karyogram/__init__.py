"""The karyogram and the other pictures and tables of a cell."""
