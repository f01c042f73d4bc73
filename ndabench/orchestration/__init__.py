"""Runs a sweep under Ray: the only package that imports it. `ndabench.planning` decides what runs."""
