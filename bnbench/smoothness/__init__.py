"""Measures of smoothness that the field uses, taken on ordinary networks along ordinary training."""
