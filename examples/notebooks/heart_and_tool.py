# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---
# %% [markdown]
# # Heart rate beside the tool's path
# Two devices that never heard of each other, on one axis of time: how fast the tool moved, and what
# the heart did meanwhile.

# %%
import os
from pathlib import Path

import numpy as np

import scot

made = sorted(Path("recordings").glob("*/manifest.json"))
rec = scot.open(os.environ.get("SCOT_RECORDING") or made[-1].parent)

# %% [markdown]
# A grid of 100 ms. The tracker is faster, the monitor slower than that: each cell is the last value
# at or before its instant, and none older than two seconds. Nothing is interpolated.

# %%
table = rec.to_pandas(["monitor/hr", "tracker/probe"], rate="100ms", tolerance="2s")
table.attrs["units"]

# %% [markdown]
# How far the tip moved from cell to cell, in mm/s. Where the tracker did not see the tool the cell
# is NaN, and so is the speed: a hole is not a jump.

# %%
place = table[["tracker/probe.x", "tracker/probe.y", "tracker/probe.z"]].to_numpy(float)
step_mm = np.linalg.norm(np.diff(place, axis=0), axis=1)
table["speed_mm_s"] = np.concatenate(([np.nan], step_mm / 0.1))
table["speed_mm_s"].describe()

# %% [markdown]
# Ten seconds each: the heart, the tool, and for how much of it the tool was seen at all.

# %%
slow = table.resample("10s").agg(
    heart=("monitor/hr", "mean"),
    speed_mm_s=("speed_mm_s", "mean"),
    seen=("tracker/probe.x", lambda x: x.notna().mean()),
)
slow.head(8)

# %%
slow["heart"].corr(slow["speed_mm_s"])

# %% [markdown]
# Before two instants of two devices are compared, ask how well each is known. Where the bounds
# overlap, which came first cannot be told.

# %%
state = rec.at((rec.first_ns + rec.last_ns) // 2, ["monitor/hr", "tracker/probe"])
first, second = (moment.sample.time for moment in state.values())
first.compare(second).name, first.bound_ns, second.bound_ns
