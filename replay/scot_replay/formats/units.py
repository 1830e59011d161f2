"""Units as other formats write them, to UCUM and back."""

from __future__ import annotations

_UCUM = {
    "mmHg": "mm[Hg]",
    "cmH2O": "cm[H2O]",
    "degC": "Cel",
    "bpm": "/min",
    "1/min": "/min",
    "NU": "",
    "nd": "",
}
_PLAIN = {"mm[Hg]": "mmHg", "cm[H2O]": "cmH2O", "Cel": "degC"}
_SPELT = {plain.lower(): unit for plain, unit in _UCUM.items()} | {
    "c": "Cel",
    "°c": "Cel",
    "beats/min": "/min",
    "microvolts": "uV",
    "millivolts": "mV",
    "µv": "uV",
}


def ucum(text: str) -> str:
    """Return the UCUM code of a unit as people write it; what is not known stays as it is."""
    return _SPELT.get(text.strip().lower(), text.strip())


def plain(unit: str) -> str:
    """Return a UCUM code as physiological formats write it."""
    return _PLAIN.get(unit, unit)
