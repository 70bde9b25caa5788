"""The parts of `examples/pretrain.py`: arguments, data and model, checkpoints, signals, and the final report."""
