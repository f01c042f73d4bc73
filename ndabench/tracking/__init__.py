"""Where else the metrics of trials are shown: TensorBoard, MLflow, Weights & Biases. Records come first.

A tracker is a class with the methods of `tracker.Tracker`; `factory.py` makes those that a sweep file asks
for, and `mirror.py` feeds them from the records.
"""

from ndabench.tracking.config import Track

__all__ = ["Track"]
