"""Proximal policy optimization on one base model, whose roles are adapters."""
