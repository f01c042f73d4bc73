"""Detection data sets: pictures with boxes, in three splits, with validation cut from training."""
