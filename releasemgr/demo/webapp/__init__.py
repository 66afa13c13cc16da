"""Northlight, the small web application that the demo's customers run. Its builds pack this folder."""
