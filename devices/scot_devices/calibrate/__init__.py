"""Device latency from content: `scot calibrate`."""
