"""From records to tables and figures, and from these to one HTML file that needs nothing else."""

from ndabench.reporting.page import summary, summary_tables, write_report

__all__ = ["summary", "summary_tables", "write_report"]
