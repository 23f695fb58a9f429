"""Results in the files of other programs: tables, images with labels, ROI sets; a reader for napari."""
