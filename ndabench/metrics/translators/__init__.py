"""What is measured of a translator: its pictures next to the targets."""
