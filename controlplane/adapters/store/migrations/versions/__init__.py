"""One file a step, `<number>_<what>.py`; the number is the revision."""
