"""What the commands that belong to no assay do; imported only when one of them runs."""
