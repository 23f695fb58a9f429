"""Nuclei and micronuclei: the finder network and the way from its maps to objects."""
