"""releasemgr keeps customer sites on the right version, overnight, over SSH."""

__version__ = "0.1.0"
