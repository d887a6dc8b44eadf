"""News between the parts: NATS JetStream, and the same in one process for tests and simulation."""
