"""Karyotype: which chromosomes are in this metaphase? ChrRender, rotate and crop, ChrNet4, karyogram."""
