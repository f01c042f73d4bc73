"""Measures of generated images, of image encoders and of clip encoders; `registry.py` lists them."""
