"""The wrapper: one process per session, around one game."""
