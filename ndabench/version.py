"""The version, in the one place that a release changes. Packages inside ndabench take it from here."""

__version__ = "0.1.0"
