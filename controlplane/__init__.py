"""The control plane: API, gateway and processor in one package; ARCHITECTURE.md draws it."""
