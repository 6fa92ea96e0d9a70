"""Every estimator × task × fold × seed to tables and a report."""

from brainfm.evaluation.journey import Journey
from brainfm.evaluation.labels import (
    AnnotationLabels,
    BiotSeizureLabels,
    HypnogramLabels,
    JoinedLabels,
    OverlapLabels,
    RecordingLabels,
    SpanLabels,
)
from brainfm.evaluation.task import PublishedSplit, Task
from brainfm.evaluation.tuning import ValidationSearch

__all__ = [
    "AnnotationLabels",
    "BiotSeizureLabels",
    "HypnogramLabels",
    "JoinedLabels",
    "Journey",
    "OverlapLabels",
    "PublishedSplit",
    "RecordingLabels",
    "SpanLabels",
    "Task",
    "ValidationSearch",
]
