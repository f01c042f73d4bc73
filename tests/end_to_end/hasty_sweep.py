"""`python -m hasty_sweep FILE …`: ndabench.sweep with a lease that changes hands within seconds."""

from functools import partial

from ndabench.command_line import run
from ndabench.ownership import lease
from ndabench.sweep import sweep

if __name__ == "__main__":
    hasty = partial(lease.LeaseTiming, renewal=1.0, death=10.0, settling=1.0)
    lease.LeaseTiming = hasty  # type: ignore[misc, assignment]  # no setting of a sweep has these times
    run(sweep)
