"""Nuclei that a person or another program outlined, measured as those that `predict` finds."""
