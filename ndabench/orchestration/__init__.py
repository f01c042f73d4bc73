"""The only rooms that know Ray: which trials run, when, and on what."""
