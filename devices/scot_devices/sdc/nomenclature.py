"""IEEE 11073-10101 codes that SCOT has a short name for, and units as UCUM.

Codes are context-free (partition × 65536 + code). A metric whose code is not here is still taken:
it is named after its handle, and labelled with what the device calls it.
"""

from __future__ import annotations

from typing import Final

import msgspec

MDC: Final = "urn:oid:1.2.840.10004.1.1.1.0.0.1"
"""Coding system of ISO/IEEE 11073-10101; BICEPS assumes it where none is given."""

_SYSTEMS: Final = ("", "MDC", MDC, "1.2.840.10004.1.1.1.0.0.1")
_SYSTEM_PREFIXES: Final = ("urn:iso:std:iso:11073:10101", "urn:oid:1.3.111.2.11073.10101")


class Term(msgspec.Struct, frozen=True):
    """A code of 11073-10101 with the names we use for it.

    Attributes:
        name: short channel name; the order of `TERMS` is the order on a screen.
        refid: reference identifier of the standard.
        en, ja: what stands on the tile.
        numerics: of a waveform, the names of the numbers beside it.
    """

    name: str
    refid: str
    en: str
    ja: str
    numerics: tuple[str, ...] = ()


def _terms() -> dict[int, Term]:
    table = {
        131330: Term("ecg_ii", "MDC_ECG_ELEC_POTL_II", "II", "II", ("hr",)),
        131329: Term("ecg_i", "MDC_ECG_ELEC_POTL_I", "I", "I"),
        131389: Term("ecg_iii", "MDC_ECG_ELEC_POTL_III", "III", "III"),
        131390: Term("ecg_avr", "MDC_ECG_ELEC_POTL_AVR", "aVR", "aVR"),
        131391: Term("ecg_avl", "MDC_ECG_ELEC_POTL_AVL", "aVL", "aVL"),
        131392: Term("ecg_avf", "MDC_ECG_ELEC_POTL_AVF", "aVF", "aVF"),
    }
    for lead in range(1, 7):
        refid = f"MDC_ECG_ELEC_POTL_V{lead}"
        table[131330 + lead] = Term(f"ecg_v{lead}", refid, f"V{lead}", f"V{lead}")
    return table | {
        147842: Term("hr", "MDC_ECG_HEART_RATE", "HR", "心拍数"),
        150032: Term(
            "art", "MDC_PRESS_BLD_ART", "ART", "動脈圧", ("art_sys", "art_dia", "art_mean")
        ),
        150033: Term("art_sys", "MDC_PRESS_BLD_ART_SYS", "ART sys", "動脈圧 収縮期"),
        150034: Term("art_dia", "MDC_PRESS_BLD_ART_DIA", "ART dia", "動脈圧 拡張期"),
        150035: Term("art_mean", "MDC_PRESS_BLD_ART_MEAN", "ART mean", "動脈圧 平均"),
        150036: Term(
            "abp", "MDC_PRESS_BLD_ART_ABP", "ABP", "動脈圧", ("abp_sys", "abp_dia", "abp_mean")
        ),
        150037: Term("abp_sys", "MDC_PRESS_BLD_ART_ABP_SYS", "ABP sys", "動脈圧 収縮期"),
        150038: Term("abp_dia", "MDC_PRESS_BLD_ART_ABP_DIA", "ABP dia", "動脈圧 拡張期"),
        150039: Term("abp_mean", "MDC_PRESS_BLD_ART_ABP_MEAN", "ABP mean", "動脈圧 平均"),
        150084: Term("cvp", "MDC_PRESS_BLD_VEN_CENT", "CVP", "中心静脈圧", ("cvp_mean",)),
        150087: Term("cvp_mean", "MDC_PRESS_BLD_VEN_CENT_MEAN", "CVP mean", "中心静脈圧 平均"),
        150452: Term("pleth", "MDC_PULS_OXIM_PLETH", "Pleth", "脈波", ("spo2", "pr")),
        150456: Term("spo2", "MDC_PULS_OXIM_SAT_O2", "SpO₂", "SpO₂"),
        149530: Term("pr", "MDC_PULS_OXIM_PULS_RATE", "PR", "脈拍数"),
        150488: Term("perfusion", "MDC_BLD_PERF_INDEX", "PI", "灌流指標"),
        151700: Term("co2", "MDC_CONC_AWAY_CO2", "CO₂", "CO₂", ("etco2",)),
        151708: Term("etco2", "MDC_CONC_AWAY_CO2_ET", "etCO₂", "呼気終末CO₂"),
        151716: Term("fico2", "MDC_CONC_AWAY_CO2_INSP", "FiCO₂", "吸気CO₂"),
        151780: Term("resp", "MDC_IMPED_TTHOR", "Resp", "呼吸", ("rr",)),
        151562: Term("rr", "MDC_RESP_RATE", "RR", "呼吸数"),
        151578: Term("rr", "MDC_TTHOR_RESP_RATE", "RR", "呼吸数"),
        151594: Term("rr_co2", "MDC_CO2_RESP_RATE", "RR CO₂", "呼吸数 CO₂"),
        150368: Term("temp_core", "MDC_TEMP_CORE", "Temp core", "深部体温"),
        150344: Term("temp", "MDC_TEMP", "Temp", "体温"),
        150364: Term("temp_body", "MDC_TEMP_BODY", "Temp body", "体温"),
        150021: Term("nibp_sys", "MDC_PRESS_BLD_NONINV_SYS", "NIBP sys", "血圧 収縮期"),
        150022: Term("nibp_dia", "MDC_PRESS_BLD_NONINV_DIA", "NIBP dia", "血圧 拡張期"),
        150023: Term("nibp_mean", "MDC_PRESS_BLD_NONINV_MEAN", "NIBP mean", "血圧 平均"),
        148066: Term("pvc", "MDC_ECG_V_P_C_RATE", "PVC", "心室性期外収縮"),
    }


TERMS: Final = _terms()
RANK: Final = {code: rank for rank, code in enumerate(TERMS)}

UCUM: Final = {
    262656: "1",
    262688: "%",
    263762: "mL",
    263875: "kg",
    264640: "Hz",
    264864: "/min",  # beats
    264896: "/min",  # pulses
    264928: "/min",  # breaths
    265216: "L/min",
    265987: "kPa",
    266016: "mm[Hg]",
    266048: "cm[H2O]",
    266400: "V",
    266418: "mV",
    266419: "uV",
    266432: "Ohm",
    266560: "[degF]",
    268192: "Cel",
}

LIMIT_HIGH: Final = frozenset({196648, 196650, 196652})
"""MDC_EVT_HI, MDC_EVT_HI_GT_LIM, MDC_EVT_HI_VAL_GT_LIM."""

LIMIT_LOW: Final = frozenset({196670, 196672, 196674})
"""MDC_EVT_LO, MDC_EVT_LO_LT_LIM, MDC_EVT_LO_VAL_LT_LIM."""


def is_mdc(system: str) -> bool:
    """Whether a coding system is 11073-10101; BICEPS takes none given for it."""
    return system in _SYSTEMS or system.startswith(_SYSTEM_PREFIXES)
