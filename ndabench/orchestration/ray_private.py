"""Everything that ndabench imports of Ray beyond its public interface, each with the reason.

Tested with Ray 2.60.0. No other file may import a private name of Ray (a test holds this), so a new version
of Ray is checked here. None of these modules imports PyTorch.
"""

# `ray_constants`: unless `ENABLE_RAY_CLUSTER` is False, Ray takes 127.0.0.1 for this machine's address in its
# network and listens on all interfaces. There is no public setting to listen on loopback only. And a constant
# in it keeps Ray's C++ handlers of signals out of the driver; the environment variable would reach workers.
# `ray_logging`: its filter is the one way to keep Ray from printing paragraphs about every lost process.
# `ray_utils`: with it Ray installs its handlers of SIGTERM.
from ray._private import ray_constants, ray_logging
from ray._private import utils as ray_utils

# The rules by which Ray packs a folder for `ray job submit`; `ray_constants` has the job server's limit.
from ray._private.runtime_env import packaging

# What is free on each node (the public `ray.available_resources` only sums over the nodes), and the raw table
# of placement groups, which alone says who created each of them.
from ray._private.state import state as cluster_state

# `tag_callbacks` imports MLflow and W&B where they are installed, to count that they are unused.
from ray.air._internal import usage

# Tune ends a whole sweep with any error of a lost process that it does not expect; see `ray_patches`.
from ray.air.execution._internal.actor_manager import RayActorManager

# The type of a row in the raw table of placement groups.
from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined] # generated code

# The cluster's key-value store, which holds the heartbeats. An actor in its place would need resources, and
# would be lost with its node.
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put, internal_kv_get_gcs_client

# Ray Train's callback for Ray Data starts a process that no trial uses; the trainer leaves it out.
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback

# Only these two types tell what became of a lost worker.
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError

# The hooks of Train's controller process, which must also send heartbeats.
from ray.train.v2._internal.execution.callback import ControllerCallback

# The public `TorchTrainer` is this class with a `TorchConfig`, whose module imports PyTorch. The public
# `ray.train.data_parallel_trainer` holds the older trainer of the same name, which Tune no longer supports.
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

# Whether the driver is connected through a `ray://` proxy: `ray.util.client` has no public query.
from ray.util.client import ray as ray_client

__all__ = [
    "ControllerCallback",
    "DataParallelTrainer",
    "DatasetsCallback",
    "PlacementGroupTableData",
    "RayActorManager",
    "WorkerHealthCheckFailedError",
    "WorkerHealthCheckTimeoutError",
    "_internal_kv_del",
    "_internal_kv_put",
    "cluster_state",
    "internal_kv_get_gcs_client",
    "packaging",
    "ray_client",
    "ray_constants",
    "ray_logging",
    "ray_utils",
    "usage",
]
