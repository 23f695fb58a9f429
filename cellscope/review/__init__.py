"""``cellscope review``: the corrections of a run, made in a browser, saved as they are made."""
