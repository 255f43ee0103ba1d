"""The shared MPO core: planes, many networks at once, the objective, the training loop."""
