"""What every assay shares: training, prediction, evaluation and runs cut into shards."""
