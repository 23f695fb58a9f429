"""`cellscope mitosis train`."""
