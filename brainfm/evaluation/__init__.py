"""Every estimator × task × fold × seed to tables and a report."""

from brainfm.evaluation.calibration import Calibration
from brainfm.evaluation.hypnogram import Hypnograms
from brainfm.evaluation.journey import Journey
from brainfm.evaluation.seizures import SeizureEvents
from brainfm.evaluation.task import AnnotationLabels, RecordingLabels, Task
from brainfm.evaluation.tuning import ValidationSearch

__all__ = [
    "AnnotationLabels",
    "Calibration",
    "Hypnograms",
    "Journey",
    "RecordingLabels",
    "SeizureEvents",
    "Task",
    "ValidationSearch",
]
