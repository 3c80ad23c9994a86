"""Training of mask models: rules, objective, tiles, the loop, its checks and checkpoints."""
