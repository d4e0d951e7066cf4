"""Setting up a new run: five pages over `desktop_ft.jobs.new_run_model`, with the memory panel beside every one."""
