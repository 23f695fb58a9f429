"""Measurements of nuclei and their pictures."""
