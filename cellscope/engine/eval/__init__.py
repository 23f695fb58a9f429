"""Evaluation, written once for all assays: items through the stages, figures with intervals, the report."""
