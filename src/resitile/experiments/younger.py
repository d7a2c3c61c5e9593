"""Settings younger than some run folders: where they are missing, the default was meant."""

YOUNGER = {"convert.wear": False, "algorithm.gradient_tiles": 1}  # hashes leave the default out
