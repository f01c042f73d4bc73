"""One synthetic sweep for all tests that only read it."""

import pytest
from synthetic import fill

from ndabench.records import RecordStore


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> RecordStore:
    store = RecordStore(str(tmp_path_factory.mktemp("reports") / "synthetic"))
    fill(store)
    return store
