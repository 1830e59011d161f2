"""ZeroMQ: the broker, and one process's connection to it. The only importer of zmq."""
