"""What a journey came to, on one page that needs nothing but a browser."""

from brainfm.evaluation.report.page import write_report

__all__ = ["write_report"]
