# The commands of the project. What they do stands in packaging/setup/, in Python, so that it is the same on every system.
ifeq ($(OS),Windows_NT)
PYTHON ?= py -3
else
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do command -v $$name && break; done)
endif
ifeq ($(strip $(PYTHON)),)
$(error Desktop FT needs Python 3.11 or newer, and there is no python3 on this machine. Install it, then run make again)
endif

COMMANDS := run test test-real check demo screenshots setup clean

.PHONY: $(COMMANDS)
.DEFAULT_GOAL := run

$(COMMANDS):
	@$(PYTHON) packaging/setup/setup_main.py $@
