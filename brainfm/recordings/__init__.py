"""Files become recordings: cleaned signals with sensors that can be trusted."""

from brainfm.recordings.recording import Annotations, Findings, Recording, Sensors

__all__ = ["Annotations", "Findings", "Recording", "Sensors"]
