"""Measurements of nuclei, counts and densities, pictures and GeoJSON."""
