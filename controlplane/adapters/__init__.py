"""The outside world behind the interfaces: stores, bus, certificates, tokens."""
