"""Sequences and movies: reading, windows around divisions, channels, views, measurements of the cell."""
