"""The networks, and their names."""

import cellscope.nn.vision  # noqa: F401  before torchvision is imported
