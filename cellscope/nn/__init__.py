"""Layers and sampling used by networks."""
