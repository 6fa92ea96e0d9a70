"""A view with electrodes where there were none, from those around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainfm.errors import UsageError
from brainfm.recordings.cleaning.spline import fit_origin, spline_matrix
from brainfm.recordings.recording import Sensors
from brainfm.windows.derivations import electrode_key
from brainfm.windows.plan import Channel, Plan, keep
from brainfm.windows.views import View, check_wanted, cover


@dataclass(frozen=True)
class Interpolate(View):
    """Electrodes at given places: as measured where there is a good channel, else by spherical splines.

    Attributes
    ----------
    ch_names
        the electrodes; all of the montage where None.
    montage
        MNE's name of the template that says where they are.
    min_coverage
        share of the electrodes that must have been measured, above 0; the others are interpolated.
    """

    ch_names: tuple[str, ...] | None = None
    montage: str = "standard_1005"
    min_coverage: float = 0.5

    def __post_init__(self) -> None:
        check_wanted(self, self.ch_names or ("all",), self.min_coverage)

    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return rows that choose, and rows that interpolate from all good electrodes."""
        from brainfm.recordings.sensors.labels import template_positions

        template = {electrode_key(n): p for n, p in template_positions(self.montage).items()}
        names = self.ch_names or tuple(template_positions(self.montage))
        if unknown := [n for n in names if electrode_key(n) not in template]:
            raise UsageError(
                f"The montage {self.montage} has no {', '.join(unknown)}; correct the view's ch_names."
            )
        good = _sources(sensors, where)
        own = {electrode_key(sensors.names[i]): keep(sensors, i) for i in good}
        places = np.stack([template[electrode_key(n)] for n in names])
        origin = fit_origin(np.stack(list(template.values())))
        weights = spline_matrix(sensors.position[good], places, origin=origin)
        made = [
            own.get(electrode_key(name))
            or Channel(
                dict(zip(good, row.tolist(), strict=True)),
                place,
                "interpolated",
                reference=sensors.reference[good[0]],
            )
            for name, row, place in zip(names, weights, places, strict=True)
        ]
        lost = [n for n in names if electrode_key(n) not in own]
        return cover(self, names, made, sensors=sensors, where=where, lost=lost)


def _sources(sensors: Sensors, where: str) -> list[int]:
    """Return the electrodes that may be interpolated from: good, in a known place, of one reference."""
    good = [
        i
        for i, kind in enumerate(sensors.kind)
        if kind == "eeg" and not sensors.bad[i] and np.isfinite(sensors.position[i]).all()
    ]
    references = sorted({str(sensors.reference[i] or "not known") for i in good})
    if len(references) > 1 or len(good) < 4:
        raise UsageError(
            f"{where} has {len(good)} good electrodes in known places, measured against "
            f"{', '.join(references) or 'nothing'}; interpolation wants 4 or more with one reference."
        )
    return good
