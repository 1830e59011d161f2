"""The gateway between the bus and people: who may enter, what may leave, and the page."""
