"""Tables, pictures and pages from run folders. Reads records only: no torch, no layers."""

from resitile.reports.comparison import as_csv, as_latex, groups, told_apart
from resitile.reports.page import write_report
from resitile.reports.records import table

__all__ = ["as_csv", "as_latex", "groups", "table", "told_apart", "write_report"]
