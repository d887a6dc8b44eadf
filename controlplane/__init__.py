"""The control plane: API, gateway and processor in one package; ARCHITECTURE.md draws it."""

__version__ = "0.1.0"
