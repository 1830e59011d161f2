# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---
# %% [markdown]
# # Check clocks and gaps before you trust a result
# What is missing, why, and how well every device's time is known.

# %%
import os
from pathlib import Path

import pandas as pd

import scot
from scot.errors import RecordingError

made = sorted(Path("recordings").glob("*/manifest.json"))
rec = scot.open(os.environ.get("SCOT_RECORDING") or made[-1].parent)
rec.damage  # what cannot be read; empty when the recording is whole

# %% [markdown]
# Samples carry numbers without holes, so what is missing is known exactly.

# %%
missing = {a: sum(gap.count for gap in known.gaps) for a, known in rec.channels.items()}
lost = pd.Series(missing, name="missing")
lost[lost > 0]

# %% [markdown]
# Where? A lost sample is a row of NaN between its neighbours; whoever must not have any says so.

# %%
table = rec.to_pandas("monitor/hr")
table[table["monitor/hr.bus_time"].isna()]

# %%
try:
    rec.to_pandas("monitor/hr", gaps="raise")
except RecordingError as error:
    print(error)

# %% [markdown]
# ± of the time of every channel at an instant: `err` is likely (95 %), `bound` is guaranteed.

# %%
rec.at("00:00:05").df[["age_s", "err_ms", "bound_ms", "clock"]]

# %% [markdown]
# The clocks made again from the recorded probes. `identical` says that every map came out bit for
# bit as it was live; `refined` uses the later probes too, and says by how much samples moved.

# %%
pd.DataFrame(rec.sync_report()).T

# %%
refined = scot.open(rec.path, sync="refined")
report = pd.DataFrame(refined.sync_report()).T
report
