"""Losses: tensors and floats in, scalars out."""
