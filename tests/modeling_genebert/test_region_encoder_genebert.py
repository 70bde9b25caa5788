from __future__ import annotations

import pytest
import torch

from modeling_genebert import GeneBertModel
from modeling_genebert.region_values_genebert import expand_region_values

from .conftest import make_model


@pytest.mark.parametrize("region_embedding", ["block_projection", "patch"])
def test_the_compact_matrix_gives_what_the_whole_one_gives(region_embedding):
    model = make_model(GeneBertModel, region_embedding=region_embedding)
    compact = torch.rand(3, 20 + 3, 8)  # 20 motifs in 32 rows: padding rows must not count
    mask = torch.tensor([[1] * 8, [1, 1, 1, 1, 1, 0, 0, 0], [0] * 8])
    whole = expand_region_values(compact, 32)
    expected = model.get_region_features(whole, mask)
    found = model.get_region_features(compact, mask)
    torch.testing.assert_close(found.last_hidden_state, expected.last_hidden_state, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, atol=1e-5, rtol=1e-4)


def test_the_compact_matrix_trains_all_weights_of_motifs():
    model = make_model(GeneBertModel)
    compact = torch.rand(3, 23, 8)
    gradients = []
    for values in (compact, expand_region_values(compact, 32)):
        model.zero_grad()
        model.get_region_features(values).pooler_output.sum().backward()
        gradients.append(model.region_encoder.block_projection.weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-3)
