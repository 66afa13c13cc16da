"""The world outside releasemgr for `make demo`: real SSH hosts, sites and builds, all on the loopback."""
