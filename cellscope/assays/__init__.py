"""The assays: one package each; none imports another."""
