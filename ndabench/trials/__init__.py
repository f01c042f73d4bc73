"""Trials: what one is (`config`), how it runs to its end (`run`), and its checkpoints."""
