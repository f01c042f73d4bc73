"""The examples under docs/cluster keep to the schemas of what reads them, and run sweeps that exist."""

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from ndabench.planning.sweep_file import read_sweep

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "cluster"
SCHEMA = json.loads((Path(__file__).parent / "kuberay_rayjob_schema.json").read_text())


@pytest.fixture
def ray_job() -> Any:
    return yaml.safe_load((EXAMPLES / "kuberay_rayjob.yaml").read_text())


def test_the_ray_job_is_one(ray_job: Any) -> None:
    jsonschema.validate(ray_job, SCHEMA)
    pinned = re.search(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert ray_job["spec"]["rayClusterSpec"]["rayVersion"] == pinned[1]
    groups = ray_job["spec"]["rayClusterSpec"]
    for group in (groups["headGroupSpec"], *groups["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("key", ["entrypont", "backoffLimits"])
def test_a_slip_would_be_noticed(ray_job: Any, key: str) -> None:
    ray_job["spec"][key] = 3
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.validate(ray_job, SCHEMA)


def test_the_ray_job_runs_a_sweep(ray_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = yaml.safe_load(ray_job["spec"]["runtimeEnvYAML"])["env_vars"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    python, flag, module, file, *options = shlex.split(ray_job["spec"]["entrypoint"])
    assert (python, flag, module) == ("python", "-m", "ndabench.sweep")
    settings = [value for option, value in itertools.pairwise(options) if option == "--set"]
    resources = read_sweep(ROOT / file.removeprefix("/ndabench/"), settings).resources
    assert (resources.workers, resources.drivers_on) == (2, "node:__internal_head__")
    (gpu,) = ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    offered = gpu["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert int(offered["nvidia.com/gpu"]) >= resources.gpus_per_worker
    assert int(offered["cpu"]) >= resources.cpus_per_worker


def test_ray_up_takes_its_file() -> None:
    cluster = yaml.safe_load((EXAMPLES / "ray_up.yaml").read_text())
    validate_config(prepare_config(cluster))
    cluster["provdier"] = cluster["provider"]
    with pytest.raises(jsonschema.ValidationError, match="provdier"):
        validate_config(prepare_config(cluster))
