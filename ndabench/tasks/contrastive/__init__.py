"""Contrastive learning of images and clips, with keys of negatives."""
