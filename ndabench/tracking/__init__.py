"""Where else the metrics of trials are shown: TensorBoard, MLflow, Weights & Biases. Records come first."""

from ndabench.tracking.config import Track

__all__ = ["Track"]
