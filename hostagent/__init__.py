"""The host agent: makes the machine run what its plan says, and tells what it sees."""
