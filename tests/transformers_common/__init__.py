"""transformers' own common tests, run on GeneBERT: `python -m tests.transformers_common [pytest arguments]`."""
