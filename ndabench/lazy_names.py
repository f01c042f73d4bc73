"""A package's public names, each imported when it is first used, so that importing the package costs nothing.

__all__ = ["load", "run_sweep"]
__getattr__ = lazy_names(__name__, {"load": "ndabench.results", "run_sweep": "ndabench.sweep"})
"""

import importlib
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str], former: Mapping[str, str] = MappingProxyType({})
) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names come from the modules in `homes`.

    A name whose home is the module of that name is the module itself. `former` maps the names of an earlier
    minor version to the present ones: they still work, with a `DeprecationWarning`.
    """

    def find(name: str) -> Any:
        if name in former:
            warnings.warn(
                f"{package}.{name} is called {package}.{former[name]} now; "
                "the next minor version will not have the old name",
                DeprecationWarning,
                stacklevel=2,
            )
            name = former[name]
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    return find
