"""Programs at the other end of each socket: a stranger can point their own software at them."""
