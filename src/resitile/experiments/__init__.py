"""Training runs: configuration, the run folder, checkpoints, and comparisons of several runs."""
