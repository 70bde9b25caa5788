"""A tiny model and its inputs. k=3, 20 motifs (32 rows), 8 columns unless a test says otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modeling_genebert import GeneBertConfig, MotifBank


SEQUENCE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
REGION = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "drop_path_rate": 0.0}


def make_config(**kwargs):
    defaults = {"kmer": 3, "num_motifs": 20, "num_motif_blocks": 8, "num_regions": 8, "initializer_range": 0.2}
    return GeneBertConfig(**{"sequence_config": SEQUENCE, "region_config": REGION, **defaults, **kwargs})


def make_model(model_class, seed=0, **kwargs):
    """A model whose weights are large enough that every input matters."""
    torch.manual_seed(seed)
    return model_class(make_config(**kwargs)).eval()


def make_regions(config, batch_size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(batch_size, config.num_regions, generator=generator) < 0.7
    mask[:, config.anchor_index] = True
    shape = (batch_size, 4, config.num_motif_rows, config.num_regions)
    return {
        "region_values": torch.rand(shape, generator=generator) * mask[:, None, None],
        "region_mask": mask.long(),
        "region_context_ids": torch.arange(batch_size) % 2,
    }


def make_inputs(config, batch_size=3, num_kmers=9, seed=0):
    """`[CLS] A [SEP] B [SEP]` rows of random 3-mers, and regions."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, config.kmer_vocab_size, (batch_size, 3 + 2 * num_kmers), generator=generator)
    ids[:, 0], ids[:, 1 + num_kmers], ids[:, -1] = 2, 3, 3
    types = torch.zeros_like(ids)
    types[:, 2 + num_kmers :] = 1
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": types,
        **make_regions(config, batch_size, seed),
    }


@pytest.fixture(scope="session")
def bank():
    """20 motifs of 4 to 8 bp."""
    rng = np.random.default_rng(0)
    counts = [rng.integers(0, 20, size=(rng.integers(4, 9), 4)).astype(np.float32) + 1 for _ in range(20)]
    names = [f"TF{number}" for number in range(20)]
    return MotifBank([f"MX{number}.1" for number in range(20)], names, ["family"] * 20, counts)
