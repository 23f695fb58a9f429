"""Counts and frequencies: rows, corrections, intervals, the summary of a run."""
