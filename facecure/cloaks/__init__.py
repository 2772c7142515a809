"""Fawkes v0.3, Fawkes v1.0 and LowKey, iteration by iteration; needs torch, which is imported with the first cloak."""
