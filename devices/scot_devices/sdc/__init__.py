"""IEEE 11073 SDC: a bedside monitor's MDIB as channels, alarms and samples."""
