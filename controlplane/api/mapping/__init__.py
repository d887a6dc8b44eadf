"""Domain to proto and back, by feature. No decisions."""
