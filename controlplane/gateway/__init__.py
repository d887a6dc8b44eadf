"""REST in front of gRPC: serves any gRPC server that has reflection, by its google.api.http rules."""
