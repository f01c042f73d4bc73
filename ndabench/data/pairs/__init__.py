"""Paired pictures, such as label maps and photographs, for image-to-image translation."""
