"""The checkpoint with the best validation score, wherever the folder of the training lies by now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint

from cellscope.engine.train.folder import BEST


class BestCheckpoint(ModelCheckpoint):
    """Keep the weights with the best ``val_score`` in ``best.ckpt``.

    Lightning forgets the best score where a training goes on in a folder of another name (moved, mounted elsewhere),
    and the next validation would take the place of a better one.

    Parameters
    ----------
    out : Path
        The run folder.
    """

    def __init__(self, out: Path):
        super().__init__(
            dirpath=out,
            filename=Path(BEST).stem,
            monitor="val_score",
            mode="max",
            save_last=False,
            enable_version_counter=False,
            auto_insert_metric_name=False,
            save_on_train_epoch_end=False,
            save_weights_only=True,
        )

    @property
    def state_key(self) -> str:
        """Name that of Lightning's class, under which checkpoints hold it."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score back if its weights are here."""
        path = Path(str(self.dirpath)) / BEST
        if not path.is_file():
            return
        here = {"dirpath": self.dirpath, "best_model_path": str(path), "last_model_path": ""}
        scores = {str(path): score for score in state_dict["best_k_models"].values()}
        super().load_state_dict({**state_dict, **here, "best_k_models": scores, "kth_best_model_path": str(path)})
