"""Trackers, which show the metrics of trials elsewhere: TensorBoard, MLflow, Weights & Biases. Records come
first.

`registry.py` has the trackers that a sweep file can name, and `mirror.py` feeds them from the records.
"""
