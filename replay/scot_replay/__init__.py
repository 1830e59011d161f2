"""Recording and replay: what a room leaves on disk, and how it comes back onto the bus."""
