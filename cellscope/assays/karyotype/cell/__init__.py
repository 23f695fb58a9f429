"""The cell as a whole: assignment, sizes, counts, the draft ISCN, clones, ``karyotype.json``."""
