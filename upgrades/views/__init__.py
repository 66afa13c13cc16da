"""The pages of runs and upgrades."""
