"""Settings younger than some run folders: where they are missing, the default was meant."""

# hashes leave the defaults out
YOUNGER = {
    "convert.wear": False,
    "optimizer.digital_lr": None,
    "algorithm.gradient_tiles": 1,
    "algorithm.chop": 0,
    "algorithm.blocks": 1,
    "algorithm.settle": 1.0,
    "algorithm.turn_steps": None,
}
