"""Run the command line as ``python -m cellscope``."""

from cellscope.cli.root import main

if __name__ == "__main__":
    main()
