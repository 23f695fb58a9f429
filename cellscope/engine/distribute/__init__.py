"""Predict on many devices: tasks, the processes that do them on this machine or a cluster, who does what next."""
