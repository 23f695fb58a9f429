"""From a network's maps to nuclei: post-processing, views, the classical baseline, calibrated types."""
