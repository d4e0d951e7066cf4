"""The rooms of the command line, one a group of commands. Core only: the window and the engine are children."""
