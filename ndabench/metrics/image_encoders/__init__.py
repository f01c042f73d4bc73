"""Measures of image encoders: nearest neighbours and linear probes."""
