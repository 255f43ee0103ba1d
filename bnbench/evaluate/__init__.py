"""Stored planes measured again, without training."""
