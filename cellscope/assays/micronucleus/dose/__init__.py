"""Dose estimation: calibration curves, estimates, the command."""
