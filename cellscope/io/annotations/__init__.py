"""Annotations of images, whichever program made them: outlines, label images, and which image they belong to.

One module per format, all with ``detect(source)`` and ``read(source)``, which gives `AnnotatedImage`; one set of checks
(`checks`, `rle`, `AnnotatedImage.check`), one rule for what belongs to what (`pairing`, `names`), one for what the
numbers of a label image mean (`meaning`), and one account of what was read and dropped (`tally`).
"""
