"""Foci: bright spots in single-channel fluorescence images, segmented and counted."""
