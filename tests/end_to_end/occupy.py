"""Somebody else on the cluster: takes CPUs until the file `free` appears in $FOLDER."""

import os
import sys
import time
from pathlib import Path

import ray


@ray.remote
class Occupant:
    def ready(self) -> None:
        pass


folder = Path(os.environ["FOLDER"])
ray.init(log_to_driver=False, logging_level="ERROR")
occupant = Occupant.options(num_cpus=float(sys.argv[1])).remote()
ray.get(occupant.ready.remote())
(folder / "occupied").touch()
while not (folder / "free").exists():
    time.sleep(0.1)
