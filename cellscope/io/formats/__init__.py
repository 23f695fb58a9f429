"""Readers of file formats, one a module; each loads when such a file comes (see `cellscope.io.open`)."""
