"""Nuclei of white blood cells in blood and marrow smears."""
