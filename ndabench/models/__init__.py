"""Networks and what belongs to their weights."""
