"""Training, written once for all assays: the loop, its checkpoints, its data, its folder."""
