"""Points in the plane from distributions whose density and support are known exactly."""
