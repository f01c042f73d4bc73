"""`python -m hasty_sweep FILE …`: ndabench.sweep with a lease that changes hands within seconds."""

from functools import partial

from ndabench import lease
from ndabench.command_line import run
from ndabench.sweep import sweep

if __name__ == "__main__":
    lease.Rhythm = partial(lease.Rhythm, renewal=1.0, death=10.0, settling=1.0)
    run(sweep)
