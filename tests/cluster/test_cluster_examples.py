"""The examples under docs/cluster keep to the schemas of what reads them, and run sweeps that exist."""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
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


@pytest.fixture
def ray_cluster() -> Any:
    return yaml.safe_load((EXAMPLES / "kuberay_raycluster.yaml").read_text())


def test_the_ray_job_and_the_ray_cluster_are_such(ray_job: Any, ray_cluster: Any) -> None:
    jsonschema.validate(ray_job, SCHEMA)
    assert (ray_cluster["apiVersion"], ray_cluster["kind"]) == ("ray.io/v1", "RayCluster")
    jsonschema.validate(ray_cluster["spec"], SCHEMA["properties"]["spec"]["properties"]["rayClusterSpec"])
    for spec in (ray_job["spec"]["rayClusterSpec"], ray_cluster["spec"]):
        assert spec["rayVersion"] == _pinned_ray()
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            (container,) = pod["containers"]
            assert container["image"].startswith("ndabench:")
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}


def _pinned_ray() -> str:
    pinned = re.search(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    return pinned[1]


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


def test_the_image_has_the_versions_and_files_that_it_needs() -> None:
    text = (EXAMPLES / "Dockerfile").read_text()
    bases = re.findall(r"rayproject/ray:[\w.-]+", text + (EXAMPLES / "compose.yaml").read_text())
    assert len(bases) == 4
    project = (ROOT / "pyproject.toml").read_text()
    for base in bases:
        version, python, device = base.partition(":")[2].split("-")
        assert (version, device in ("cpu", "gpu")) == (_pinned_ray(), True)
        assert f'"Programming Language :: Python :: 3.{python.removeprefix("py3")}"' in project, python
    copied = {source for line in re.findall(r"^COPY \S+ (.*) \S+$", text, re.M) for source in line.split()}
    assert copied == set(re.findall(r"^!(.*)$", (EXAMPLES / "Dockerfile.dockerignore").read_text(), re.M))
    assert all((ROOT / source).exists() for source in copied)
    assert copied >= {"pyproject.toml", "ndabench", "sweeps"}  # what ndabench is built from
    assert "WORKDIR /ndabench\n" in text  # where kuberay_rayjob.yaml finds sweeps/


def test_compose_builds_this_image() -> None:
    services = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]
    for service in services.values():
        context = (EXAMPLES / service["build"]["context"]).resolve()
        assert context == ROOT
        assert context / service["build"]["dockerfile"] == EXAMPLES / "Dockerfile"
    assert services["reports"]["ports"] == ["127.0.0.1:8484:8484"]  # reachable from this machine alone


def _lint(program: str, *files: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(program, path=path)
    if found is None:
        pytest.skip(f"{program} is not installed; `make setup` does that")
    done = subprocess.run([found, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_passes_its_linter() -> None:
    _lint("hadolint", EXAMPLES / "Dockerfile")


def test_shell_scripts_pass_their_linter() -> None:
    scripts = [
        ROOT / ".ci/run",
        *(file for top in ("docs", "tests", "benchmarks") for file in (ROOT / top).rglob("*.sh")),
    ]
    assert EXAMPLES / "slurm.sh" in scripts
    _lint("shellcheck", *scripts)


def test_ray_up_takes_its_file() -> None:
    cluster = yaml.safe_load((EXAMPLES / "ray_up.yaml").read_text())
    validate_config(prepare_config(cluster))
    cluster["provdier"] = cluster["provider"]
    with pytest.raises(jsonschema.ValidationError, match="provdier"):
        validate_config(prepare_config(cluster))
