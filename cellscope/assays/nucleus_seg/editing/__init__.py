"""Corrections of nuclei by a person."""
