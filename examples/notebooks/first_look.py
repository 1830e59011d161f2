# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---
# %% [markdown]
# # A first look at a recorded surgery
# What was recorded, what is missing, and what happened when. It takes the newest recording below
# `recordings/`; name another in the variable `SCOT_RECORDING`.

# %%
import os
from pathlib import Path

import scot

made = sorted(Path("recordings").glob("*/manifest.json"))
path = os.environ.get("SCOT_RECORDING") or made[-1].parent
rec = scot.open(path)
rec

# %% [markdown]
# Everything that was on the bus is in it, each channel with its rate, what was lost on the way, and
# how well its times are known: the likely error, and behind ≤ the one that is guaranteed.
#
# What did the room show in the middle of it? Ages and ± are part of the answer.

# %%
middle = (rec.first_ns + rec.last_ns) // 2
rec.at(middle)

# %% [markdown]
# The signals over the whole time. The band is the least and the greatest value of each stretch, so
# that no peak is hidden; red is while the monitor's own alarm for that channel was on.

# %%
rec.plot(["monitor/hr", "monitor/art", "tracker/probe"])

# %% [markdown]
# When did alarms begin?

# %%
alarms = rec.alarms
began = alarms[alarms["present"].astype(bool)].drop_duplicates("id") if len(alarms) else alarms
began

# %% [markdown]
# And what did the endoscope see then? A picture every ten seconds, with the instant it was taken.

# %%
pictures = list(rec.video("scope").frames(every="10s"))
[(picture.image.shape, picture.bus_ns - rec.first_ns) for picture in pictures[:3]]

# %% [markdown]
# One channel as a table, one row a sample; a lost one is a row of NaN.

# %%
heart = rec["monitor/hr"].df
heart["monitor/hr"].describe()
