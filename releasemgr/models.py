"""What releasemgr itself keeps of the people who use it."""
