"""Corrections by a person."""
