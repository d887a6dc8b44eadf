"""Figures beside their ceilings, measured in one run."""
