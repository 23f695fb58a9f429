"""The command line: the root command, groups that load late, the four verbs, and the commands without an assay."""
