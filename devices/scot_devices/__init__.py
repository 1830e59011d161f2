"""Device providers of SCOT, one package a protocol, and the simulators that test them."""
