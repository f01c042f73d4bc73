"""Somebody else on the cluster: takes as many CPUs as it is told, says so, and stays."""

import logging
import signal
import sys
from typing import Any

import ray


class Occupant:
    def ready(self) -> None:
        pass


ray.init(log_to_driver=False, logging_level=logging.ERROR)
occupant: Any = ray.remote(Occupant).options(num_cpus=float(sys.argv[1])).remote()
ray.get(occupant.ready.remote())
print("occupied", flush=True)
signal.pause()
