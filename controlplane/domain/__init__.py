"""What Quarterdeck is about, pure and synchronous: no I/O, no clock, no randomness, no generated code."""
