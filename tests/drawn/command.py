"""``python -m drawn.command``: cellscope, with the networks of `drawn.networks` among its architectures."""

import drawn.networks  # noqa: F401
from cellscope.cli.root import main

if __name__ == "__main__":
    main()
