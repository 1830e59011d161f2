"""The deterministic simulation: the production cores over a network, disks and clocks of our own.

One heap, one seed: the same seed gives the same run, to the bit, on every machine.
"""
