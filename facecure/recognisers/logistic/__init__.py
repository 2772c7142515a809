"""Multinomial logistic regression for many people at once, to decisions that are certain."""
