"""Detection transfer: an image encoder measured as the start of a detector."""
