"""Trials: their configuration (`config`), their run (`run`), and their checkpoints."""
