"""Measures of clip encoders: fine-tuning, linear probe and retrieval, all by action recognition."""
