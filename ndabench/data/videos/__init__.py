"""Video data sets: scanned once, split by their official lists, decoded into the clips a task asks for."""
