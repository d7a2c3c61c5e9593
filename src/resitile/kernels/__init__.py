"""Compiled loops over crosspoints: counter-based random numbers, pulse trains, updates."""
