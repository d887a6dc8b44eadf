"""Two programs that follow the fleet from outside; docs/external-events.md says what they are told."""
