"""Tables, pictures and pages from run folders. Reads records only: no torch, no layers."""

from resitile.reports.page import write_report
from resitile.reports.records import table

__all__ = ["table", "write_report"]
