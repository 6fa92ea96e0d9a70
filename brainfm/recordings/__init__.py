"""Files become recordings: cleaned signals with sensors that can be trusted."""

from brainfm.recordings.recording import Annotations, Recording, Sensors

__all__ = ["Annotations", "Recording", "Sensors"]
