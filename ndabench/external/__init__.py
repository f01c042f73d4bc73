"""What others trained or drew: opened, measured by ndabench's evaluations, and recorded as external."""
