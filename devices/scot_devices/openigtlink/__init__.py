"""Navigation and tracking by OpenIGTLink, protocol versions 1 to 3."""
