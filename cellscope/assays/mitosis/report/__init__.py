"""Filmstrips, galleries, counts per condition."""
