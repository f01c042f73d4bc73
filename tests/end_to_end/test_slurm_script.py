"""docs/cluster/slurm.sh on two networks in the place of nodes; `srun` runs a command in the second."""

import os
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.driving import ROOT, Bench, Command, metrics, statuses
from tests.end_to_end.namespaces import two_networks

SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift 2; done
exec nsenter --net=/proc/{process}/ns/net "$@"
"""


SWEEP = """
name: points
task: {name: density_gan, num_steps: 4}
data: ring
arms: [none]
evaluate: [mass_outside]
resources: {workers: 2, placement: strict_spread}
"""


@pytest.mark.release
@pytest.mark.timeout(900)
def test_the_script_runs_a_sweep_on_all_its_nodes(bench: Bench, tmp_path: Path) -> None:
    """Each trial has a worker on either node, and nothing is left running."""
    programs, environment = tmp_path / "bin", tmp_path / "venv/bin"
    programs.mkdir()
    environment.mkdir(parents=True)
    (environment / "activate").touch()  # this environment is active already
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    with two_networks() as cable:
        if cable is None:
            pytest.skip("networks of our own cannot be made here: that takes root on Linux")
        (programs / "srun").write_text(SRUN.format(process=cable.far.process))
        (programs / "srun").chmod(0o755)
        slurm = {
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NUM_NODES": "2",
            "NDABENCH_VENV": str(environment.parent),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "RAY_raylet_start_wait_time_s": "300",
        }
        script = [*cable.near.inside, "bash", str(ROOT / "docs/cluster/slurm.sh")]
        job = Command(
            tmp_path,
            [*script, str(file), "--no-check", "--out", str(tmp_path / "out")],
            {**bench.environment, **slurm},
        )
        try:
            ended = job.ended()
        finally:
            job.kill()
            shutil.rmtree(f"/tmp/ray-{os.getpid()}", ignore_errors=True)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert set(statuses(tmp_path / "out").values()) == {"finished"}
    assert len(metrics(tmp_path / "out")) > 0
    assert "2 workers × (1 CPU), each on a different node" in ended.stdout
