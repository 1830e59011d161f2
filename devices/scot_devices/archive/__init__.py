"""Archives played as devices, and the measuring of vital signs on waveforms."""
