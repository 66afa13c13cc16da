"""Looks over the whole installation and says, check by check, whether it is well and what to do. Changes nothing."""
