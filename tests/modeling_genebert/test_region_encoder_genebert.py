from __future__ import annotations

import numpy as np
import pytest
import torch

from modeling_genebert import GeneBertModel
from modeling_genebert.region_encoder_genebert import GeneBertScoreNorm
from modeling_genebert.region_values_genebert import contract_region_values, expand_region_values

from .conftest import make_model, make_regions


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


def test_scores_are_read_in_units_of_their_spread():
    norm = GeneBertScoreNorm(num_motifs=2)
    norm.fit(np.array([[0.0, 1.0], [1.0, 1.0]]), region_context=0)
    norm.fit(np.array([[0.1, 0.2], [0.5, 0.6]]), region_context=1)
    torch.testing.assert_close(norm.mean, torch.tensor([[0.5, 1.0], [0.3, 0.4]]))
    torch.testing.assert_close(norm.std, torch.tensor([[0.5, 0.05], [0.2, 0.2]]))  # never less than 0.05
    values = torch.tensor([[[1.0], [0.9], [7.0], [8.0], [9.0]]]).repeat(2, 1, 1)
    expected = torch.tensor([[[1.0], [-2.0], [7.0], [8.0], [9.0]], [[3.5], [2.5], [7.0], [8.0], [9.0]]])
    torch.testing.assert_close(norm(values, torch.tensor([0, 1])), expected)


@pytest.mark.parametrize("shape", [(0, 2), (3, 5), (2,)])
def test_scores_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(num_columns, 2\)"):
        GeneBertScoreNorm(num_motifs=2).fit(np.zeros(shape), region_context=0)


def test_what_was_fitted_is_saved_with_the_weights(tmp_path):
    model = make_model(GeneBertModel)
    scores = np.random.default_rng(0).random((50, 20))
    model.region_encoder.score_norm.fit(scores, region_context=1)
    model.save_pretrained(tmp_path)
    norm = GeneBertModel.from_pretrained(tmp_path).region_encoder.score_norm
    torch.testing.assert_close(norm.mean[1], torch.from_numpy(scores.mean(axis=0)).float())
    assert norm.mean[0].tolist() == pytest.approx([0.35] * 20)  # what stands there until fitted
    assert norm.std[0].tolist() == pytest.approx([0.2] * 20)


def read(scores: list[list[float]], present: list[int], region_context: int) -> tuple[list[float], list[float]]:
    """`own_column` and `enrichment` of a matrix of motifs × 8 columns, whose scores have mean 0 and spread 1."""
    model = make_model(GeneBertModel)
    norm = model.region_encoder.score_norm
    norm.mean.zero_(), norm.std.fill_(1)
    assert model.config.anchor_index == 3
    values = torch.zeros(1, 20 + 3, 8)
    values[0, :2], values[0, 20:] = torch.tensor(scores), 0.5
    output = model.get_region_features(values, torch.tensor([present]), torch.tensor([region_context]))
    column = output.own_column[0]
    assert column.shape == (23,) and output.enrichment.shape == (1, 20)
    return [*column[:2].tolist(), *column[20:].tolist()], output.enrichment[0, :2].tolist()


SCORES = [[1.0, 2.0, 0.0, 7.0, 3.0, 77.0, 0.0, 0.0], [0.0, -1.0, -1.0, 5.0, 0.0, 77.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("present", "region_context", "own_column", "enrichment"),
    [
        ([1, 1, 1, 1, 1, 0, 0, 0], 0, [7.0, 5.0, 0.5, 0.5, 0.5], [3.0, -1.0]),  # sums of 6 and -2 over four columns
        ([1, 1, 1, 0, 1, 0, 0, 0], 0, [0.0] * 5, [3.0, -1.0]),  # what a hidden column holds is not read
        ([0, 0, 0, 1, 0, 0, 0, 0], 0, [7.0, 5.0, 0.5, 0.5, 0.5], [0.0, 0.0]),  # no other column
        ([0, 0, 0, 0, 0, 0, 0, 0], 0, [0.0] * 5, [0.0, 0.0]),
        # Tiles: the best of each motif, no accessibility, and no other open regions.
        ([1, 1, 1, 0, 0, 0, 0, 0], 1, [2.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0]),
        ([0, 0, 0, 0, 0, 0, 0, 0], 1, [0.0] * 5, [0.0, 0.0]),
    ],
)
def test_own_column_and_enrichment_in_the_others(present, region_context, own_column, enrichment):
    assert read(SCORES, present, region_context) == (own_column, enrichment)


def test_no_matrix_is_as_one_without_columns():
    model = make_model(GeneBertModel)
    without = model.get_region_features(batch_size=2)
    hidden = model.get_region_features(torch.rand(2, 23, 8), torch.zeros(2, 8))
    for name in ("pooler_output", "own_column", "enrichment"):
        torch.testing.assert_close(without[name], hidden[name])


def test_tiles_are_matched_by_the_best_score_of_each_motif():
    """Wherever it stands; and scored against the figures of open regions, as the column of a region."""
    model = make_model(GeneBertModel)
    encoder, inputs = model.region_encoder, make_regions(model.config, 3)
    encoder.score_norm.fit(np.random.default_rng(0).random((50, 20)), region_context=0)
    inputs["region_values"] = contract_region_values(inputs["region_values"], 20)
    inputs["region_mask"][:, 3:] = 0
    columns = inputs["region_values"].half().float()
    best = columns[:, :20, :3].clone()
    best[inputs["region_mask"][:, None, :3].expand_as(best) == 0] = 0
    as_region = torch.zeros(3, 23, 1)
    as_region[:, :20, 0] = best.amax(dim=2)
    expected = encoder.score_norm(as_region, torch.zeros(3, dtype=torch.long))[..., 0]
    found = encoder._whole_sequence(columns, inputs["region_mask"].bool())
    torch.testing.assert_close(found, expected)


def test_a_matrix_of_tiles_and_one_of_regions_are_pooled_round_other_columns():
    model = make_model(GeneBertModel)
    inputs = {**make_regions(model.config, 2), "region_mask": torch.ones(2, 8)}
    inputs["region_context_ids"] = torch.tensor([0, 1])
    before = model.get_region_features(**inputs)
    tokens = before.last_hidden_state
    anchor = tokens[:, model.config.anchor_index - model.config.num_regions]
    of_anchor = model.region_encoder._pool(tokens, anchor)
    torch.testing.assert_close(before.pooler_output[0], of_anchor[0])
    assert (before.pooler_output[1] - of_anchor[1]).abs().max() > 1e-3
