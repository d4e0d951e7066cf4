"""Threads and observable state between core and the window. QtCore and core only: no widgets, no torch."""
