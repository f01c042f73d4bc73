"""The tasks: what each trains, by which step, and with which configuration."""
