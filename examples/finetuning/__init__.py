"""What `examples/finetune.py` is made of."""
