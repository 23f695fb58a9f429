"""Metrics: arrays in, numbers and tables out. Every docstring states the convention; what is undefined is None."""
