"""The gRPC edge: thin servicers that translate, one chain of checks before them, and the link to the agents."""
