"""A GAN of images, with negatives as further fakes."""
