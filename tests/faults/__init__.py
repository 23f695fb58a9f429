"""Faults, each as a script: damaged files, kills, full disks, what the system refuses. See docs/reliability.md."""
