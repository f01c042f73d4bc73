"""ndabench: the benchmark runner for negative data augmentation (Sinha et al., ICLR 2021)."""

__version__ = "0.1.0"
