"""Counting the objects in generated images."""
