"""Every estimator × task × fold × seed to tables and a report."""

from brainfm.evaluation.journey import Journey
from brainfm.evaluation.task import AnnotationLabels, RecordingLabels, Task
from brainfm.evaluation.tuning import ValidationSearch

__all__ = ["AnnotationLabels", "Journey", "RecordingLabels", "Task", "ValidationSearch"]
