"""The small networks have names in all tests of this folder."""

import drawn.networks  # noqa: F401
import few_resamples  # noqa: F401
