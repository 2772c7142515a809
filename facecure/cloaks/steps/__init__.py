"""The mathematics of one iteration."""
