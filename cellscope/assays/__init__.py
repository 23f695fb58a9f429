"""The assays: one room each, none importing another."""
