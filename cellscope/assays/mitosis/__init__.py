"""Mitosis: normal or abnormal division, from a sequence of frames or straight from a time-lapse movie."""
