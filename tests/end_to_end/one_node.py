"""Starts one node of a Ray cluster, says so, and lives as long as its raylet.

    python one_node.py head|worker PARAMETERS

The parameters are JSON, those of `ray._private.parameter.RayParams`. (`ray start` lets no second node join on
loopback; `ray.cluster_utils.Cluster` keeps all nodes in one process, and so in one network namespace.)
"""

import json
import sys

from ray._private.node import Node
from ray._private.parameter import RayParams


def main(kind: str, parameters: dict) -> None:
    given = RayParams(**parameters)
    given.update_if_absent(
        min_worker_port=0, max_worker_port=0, include_dashboard=False, include_log_monitor=False
    )
    if kind == "worker":
        given.update_if_absent(redis_address=given.gcs_address, node_manager_port=0)
        given.dashboard_agent_listen_port = None
    node = Node(given, head=kind == "head", shutdown_at_exit=True, spawn_reaper=False)
    print("up", flush=True)
    # A dead raylet that nobody waits for would be taken for alive by its workers.
    node.all_processes["raylet"][0].process.wait()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
