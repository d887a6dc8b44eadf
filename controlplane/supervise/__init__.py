"""The parent of `quarterdeck up`: standard library and settings only, so that nothing of the house brings it down."""
