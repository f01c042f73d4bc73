"""Somebody else on the cluster: takes as many CPUs as it is told, says so, and stays."""

import signal
import sys

import ray


@ray.remote
class Occupant:
    def ready(self) -> None:
        pass


ray.init(log_to_driver=False, logging_level="ERROR")
occupant = Occupant.options(num_cpus=float(sys.argv[1])).remote()
ray.get(occupant.ready.remote())
print("occupied", flush=True)
signal.pause()
