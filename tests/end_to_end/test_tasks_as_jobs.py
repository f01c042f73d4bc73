"""A sweep of each kind of task as a job on two nodes with an object store; one node is lost in its middle."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.driving import TINY, UNCHECKED_SWEEP, Bench, Command, metrics, statuses
from tests.end_to_end.faults import let_go_on, losses, process_of, sabotaged, until
from tests.end_to_end.nodes import Nodes
from tests.object_stores import ObjectStore

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(900)]

STEP = 6
"""Where the trials wait until a node is lost."""
LENGTH = {"num_steps": 12, "checkpoint_every": 2, "log_every": 2}
SMALL_GAN = {key: TINY["task"][key] for key in ("name", "width", "latent_dim", "batch_size")}
DOTS = {"name": "dots", "channels": 1, "image_size": 16, "smallest": 0.11, "largest": 0.14, "num_images": 300}
SWEEPS: dict[str, dict[str, Any]] = {
    "gan": {
        "task": SMALL_GAN,
        "data": TINY["data"],
        "arms": ["none", "jigsaw"],
        "evaluate": [{"name": "fd", "num_samples": 64, "every": 4}],
    },
    "anomaly": {
        "task": {**SMALL_GAN, "losses": "hinge"},
        "data": TINY["data"],
        "arms": ["none", "jigsaw"],
        "evaluate": [{"name": "anomaly", "outliers": ["shapes"], "negatives": ["mixup"], "every": 4}],
    },
    "numerosity": {
        "task": {**SMALL_GAN, "network": "dcgan", "losses": "wasserstein_gp"},
        "data": {**DOTS, "count": [2]},
        "arms": [
            "none",
            {"name": "others", "negative": {"name": "dataset", "data": {**DOTS, "count": [1, 3], "seed": 1}}},
        ],
        "evaluate": [{"name": "count", "num_samples": 64, "every": 4}],
    },
    "density_gan": {
        "task": {"name": "density_gan"},
        "data": {"name": "ring"},
        "arms": ["none", "between"],
        "evaluate": [{"name": "mass_outside", "every": 4}],
    },
    "paired_gan": {
        "task": {"name": "paired_gan", "width": 4, "batch_size": 2},
        "data": {"name": "digit_outlines"},
        "arms": ["none", "jigsaw"],
        "evaluate": [{"name": "l1", "every": 4}],
    },
    "image_contrastive": {
        "task": {
            "name": "image_contrastive",
            "method": {"name": "moco", "queue_size": 64, "batch_norm_splits": 2},
            "encoder": {"name": "resnet", "depth": 18, "width": 4},
            "embedding_dim": 8,
            "batch_size": 16,
            "num_warm_up_steps": 3,
        },
        "data": TINY["data"],
        "arms": ["none", "jigsaw"],
        "evaluate": [{"name": "knn", "neighbours": 5, "every": 4}],
    },
    "video_contrastive": {
        "task": {
            "name": "video_contrastive",
            "method": {"name": "dpc", "num_blocks": 4, "num_predicted": 1},
            "encoder": {"name": "resnet2d3d", "width": 4, "stem": "cifar"},
            "clip_frames": 20,
            "frame_stride": 1,
            "batch_size": 8,
        },
        "data": {"name": "moving_digits", "frame_size": 16, "video_frames": 24, "clips_per_group": 1},
        "arms": ["none", "shuffle_frames"],
        "evaluate": ["retrieval"],
    },
}


@pytest.fixture
def ray_command() -> str:
    scripts = Path(sys.executable).parent
    found = shutil.which("ray", path=str(scripts))
    if found is None:
        pytest.skip("the ray command is not installed with this Python")
    pytest.importorskip("ray.dashboard.optional_deps", reason="ray[default] is not installed")
    return found


@pytest.mark.parametrize("name", SWEEPS)
def test_a_node_is_lost_in_the_middle(
    name: str, bench: Bench, object_store: ObjectStore, ray_command: str
) -> None:
    sweep = {"name": "job", **SWEEPS[name], "seeds": [0], "resources": {"max_concurrent": 2}}
    file, undisturbed = bench.folder / "sweep.yaml", bench.folder / "undisturbed"
    file.write_text(yaml.safe_dump({**sweep, "task": {**SWEEPS[name]["task"], **LENGTH}}))
    alone = bench.sweep(str(file), "--out", str(undisturbed))
    assert alone.code == 0, alone.stderr

    trials, out = ("none 0", "negative 0"), object_store.folder()
    damaged = sabotaged(bench, [{"trial": trial, "step": STEP, "what": "wait"} for trial in trials])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with Nodes({**damaged.environment, **object_store.environment, "PATH": path}) as nodes:
        nodes.add(cpus=1, jobs=True)
        lost = nodes.add(cpus=1)
        submit = [ray_command, "job", "submit", "--address", nodes.jobs_address, "--", "python", "-m"]
        job = Command(bench.folder, [*submit, *UNCHECKED_SWEEP, str(file), "--out", out], nodes.environment)
        try:
            waits = {trial: f"wait of {trial} at {STEP}" for trial in trials}
            until(job, lambda: all(process_of(damaged, wait) for wait in waits.values()), "two trials run")
            there = lost.titled("ray::ImplicitFunc")
            (trial,) = (trial for trial, wait in waits.items() if process_of(damaged, wait) in there)
            lost.kill()
            until(job, lambda: "its process was lost" in job.output(), "the loss is noticed")
            for other in trials:
                let_go_on(damaged, f"{other} at {STEP}")
            ended = job.ended()
        finally:
            job.kill()
    assert ended.code == 0, ended.stdout + ended.stderr
    (line,) = losses(ended.stdout)  # whether Ray learns first of the process or of its node is chance
    lost_trial = line.replace(" with its node", "")
    assert lost_trial.endswith("seed 0: its process was lost; resuming from its checkpoint"), trial
    assert "complete: 2 finished\n" in ended.stdout
    assert statuses(out) == statuses(undisturbed)
    assert metrics(out) == metrics(undisturbed)
