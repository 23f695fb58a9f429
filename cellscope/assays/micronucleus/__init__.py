"""Micronuclei: which cells carry them, and how often, from crops of cells or whole fields."""
