"""Other formats: what a recording is written as, and what a recording is made from.

One module a format, both directions where both exist. Each says what it cannot hold: the finest
step of a value, the finest step of a time, and the channels it has no place for.
"""
