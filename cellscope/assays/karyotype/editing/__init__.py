"""Corrections of a karyotype, and drawing it again."""
