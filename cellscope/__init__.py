"""cellscope: microscope images of cells in; tables, pictures and reports out."""

__version__ = "0.1.0"
