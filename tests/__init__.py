"""A package: without this file `tests` would be the one that torch-fidelity installs."""
