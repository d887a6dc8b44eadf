"""Broadside: the small demo game that ships with Quarterdeck."""
