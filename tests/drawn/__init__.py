"""Inputs that the tests draw, by assay."""
