"""Runs a command beside a simulated cluster of several nodes on this machine, on loopback, gone afterwards:

python tests/end_to_end/several_nodes.py '[{"num_cpus": 0}, {"num_cpus": 2}]' python -m ndabench.sweep …

The nodes are given as `ray.cluster_utils.Cluster.add_node` takes them, the head first. Their main processes
are in $RAYLETS, in this order: to kill one is to lose a node.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path


def main(nodes: list[dict], command: list[str]) -> int:
    with tempfile.TemporaryDirectory(
        prefix="ndabench-ray-", dir="/tmp"
    ) as folder:  # short: sockets lie in it
        token = Path(folder) / "token"  # only this user's processes may join
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        os.environ |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray listens on every interface
        }
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        shared = {"node_ip_address": "127.0.0.1", "temp_dir": folder, "object_store_memory": 80 * 2**20}
        raylets = []
        try:
            for i, node in enumerate(nodes):
                head = {"include_dashboard": False} if i == 0 else {}
                added = cluster.add_node(**shared, **head, **node)
                raylets.append(str(added.all_processes["raylet"][0].process.pid))
            joined = {"RAY_ADDRESS": cluster.address, "RAYLETS": " ".join(raylets)}
            return subprocess.run(command, env={**os.environ, **joined}).returncode
        finally:
            cluster.shutdown()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
