"""The window: widgets, pages and plots over jobs and core. Never torch, never the engine."""
