"""Every nucleus of an H&E image or whole slide, outlined and typed: HistoNeXt."""
