"""A field of nuclei as the networks see it: reading, channel, brightness, scale, masks of other tools."""
