"""Images that a finished trial keeps (`keep: {samples: N}`), which outlive its checkpoint."""

import io

import numpy as np
import torch
from torch import Tensor

from ndabench.distributed import Workers
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.records import RecordStore
from ndabench.tasks.trainer import Trainer

FILE = "kept.npz"
"""An artifact of the last step, as `ndabench samples` writes one: `arr_0`, uint8 `[N, H, W, C]`."""


def draw_kept(trainer: Trainer, num: int, workers: Workers) -> dict[str, bytes]:
    """The file with the first `num` images that the evaluations of this step look at; nothing where the task
    trains no generator of images. All workers must call it."""
    subject = trainer.task.subject(trainer.step)
    if not isinstance(subject, GeneratorSubject):
        return {}
    whole = -(-num // workers.world_size) * workers.world_size
    own = subject.sample(whole, stream=subject.stream, weights=subject.weights, batch_norm=subject.batch_norm)
    content = io.BytesIO()
    np.savez_compressed(content, arr_0=workers.all_gather(own)[:num].permute(0, 2, 3, 1).cpu().numpy())
    return {FILE: content.getvalue()}


def read_kept(store: RecordStore, trial_id: str) -> Tensor | None:
    """The images that the trial kept, uint8 `[N, C, H, W]`; None where it kept none, or they are damaged."""
    for row in store.read_artifacts().to_pylist():
        if row["trial_id"] == trial_id and row["path"].endswith(FILE):
            content = store.read_artifact(row["path"], row["sha256"])
            if content is not None:
                pixels = np.load(io.BytesIO(content), allow_pickle=False)["arr_0"]
                return torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return None
