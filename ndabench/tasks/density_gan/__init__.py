"""A GAN of points in the plane, whose distributions are known."""
