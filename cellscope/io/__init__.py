"""Files in, files out: reading and writing images, tables and prepared datasets."""
