"""`report`: the HTML again from the Parquet records in a sweep's folder."""

from ndabench.errors import UserError
from ndabench.records import RecordStore


def report(folder: str) -> str:
    """Writes `report.html` into `folder` (a path or a filesystem URI) and returns where it lies.

    Raises `UserError` when the folder holds no records.
    """
    from ndabench.reporting import write_report

    store = RecordStore(folder)
    if not store.list("trials"):
        raise UserError(
            f"{folder}: no records here; give the folder of a sweep, for example reports/quickstart"
        )
    return write_report(store)
