"""The report: figures, tables and a page from stored fits. The only package that imports a plotting library."""

from bnbench.report.build import Report, build_report

__all__ = ["Report", "build_report"]
