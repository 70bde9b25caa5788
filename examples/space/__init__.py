"""A page to try a checkpoint: `python examples/space/app.py --model_name_or_path runs/demo`."""
