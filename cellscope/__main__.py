"""Run the command line as ``python -m cellscope``."""

from cellscope.cli import main

if __name__ == "__main__":
    main()
