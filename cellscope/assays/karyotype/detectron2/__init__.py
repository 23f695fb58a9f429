"""What the assay shares with detectron2: its conventions, its checkpoints, and the program itself where it is there.

Only `backend` imports detectron2, and only when it is asked to.
"""
