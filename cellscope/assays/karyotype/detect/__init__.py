"""From a metaphase to detections: inputs, scale, duplicates and overlaps, which are whole chromosomes."""
