"""Cells with or without micronuclei: crops, the classifier networks, calibrated probabilities."""
