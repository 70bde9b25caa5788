"""What `examples/predict.py` is made of."""
