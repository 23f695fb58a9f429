"""Large images and whole slides: windows, seams, joining, overviews."""
