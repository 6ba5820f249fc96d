"""The checks of correctness.py, one file for each op and one for what only a device can show."""
