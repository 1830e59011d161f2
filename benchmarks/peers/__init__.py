"""Our bus beside those that people would take instead, in the same run."""
