"""What a sweep file can say, read from the registries and the configuration classes."""
