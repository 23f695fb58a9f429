"""Prediction, written once for all assays: inputs in; artefacts, tables, report and ``run.json`` out."""
