"""Trainings: one file a task, each with its configuration and its evaluations."""
