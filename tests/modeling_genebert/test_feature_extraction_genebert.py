import json

import numpy as np
import pytest
import torch

from modeling_genebert.configuration_genebert import REGION_CHANNELS
from modeling_genebert.feature_extraction_genebert import GeneBertFeatureExtractor
from modeling_genebert.motifs_genebert import MotifBank
from modeling_genebert.region_values_genebert import build_region_values


# Counts that are log-odds of 1, 0 and -1 bit: (1.75 + 0.25) / (3 + 1) = 2 * 0.25, and so on.
HIGH, EQUAL, LOW = 1.75, 0.75, 0.25
ACG = [[HIGH, EQUAL, LOW, LOW], [EQUAL, HIGH, LOW, LOW], [LOW, LOW, HIGH, EQUAL]]
TT = [[LOW, LOW, EQUAL, HIGH], [LOW, LOW, EQUAL, HIGH]]


@pytest.fixture
def bank():
    return MotifBank(["MX1.1", "MX2.1"], ["ONE", "TWO"], ["f1", "f2"], [np.array(ACG), np.array(TT)])


@pytest.fixture
def extractor(bank):
    return GeneBertFeatureExtractor(bank, num_regions=4, region_width=10)


# The region matrix


def test_region_matrix_by_hand(extractor):
    inputs = extractor(
        # The first motif: on the given strand; on the other strand and with N (1 + 0 + 1 of 3); in a region shorter
        # than it. The second, TT: GT is 0 + 1 of 2; AA is TT on the other strand, 2 of 2; A is shorter than it.
        regions=[["ACG", "CNT", "A"], ["AAA"]],
        accessibility=[[0.5, None, 1.0], [float("nan")]],
        positions=[[1_000, 1_099, 2_098], [7]],
        return_tensors="np",
    )
    values, mask = inputs["region_values"], inputs["region_mask"]
    assert values.shape == (2, 4, 32, 4)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(mask, [[1, 1, 1, 0], [0, 1, 0, 0]])
    np.testing.assert_array_equal(inputs["region_context_ids"], [0, 0])

    expected = np.zeros((2, 4, 32, 4))
    expected[0, 0, 0] = [1, 2 / 3, 0, 0]
    expected[0, 0, 1] = [0.5, 0.5, 0, 0]
    expected[0, 1, :2] = [0.5, 0, 1, 0]
    expected[0, 2, :2] = [1, 0, 1, 0]
    expected[0, 3, :2] = [-2 / 6, 0, 3 / 6, 0]  # -99 and 999 bp: log10(1 + 99) = 2, log10(1 + 999) = 3
    expected[1, 0, :2, 1] = [0, 1]  # AAA: 1 + 0 - 1 for ACG; on the other strand (TTT) -1 - 1 + 0
    np.testing.assert_allclose(values, expected, atol=1e-7)


def test_self_tiles_by_hand(extractor):
    # 8 bp in 4 tiles: ACG has its centre at 2.5 (tile 1), CGT at 3.5 and 6.5 (tiles 1 and 3).
    inputs = extractor(sequences=["TACGTCGT", "AAA", "A"], return_tensors="np")
    values = inputs["region_values"]
    np.testing.assert_array_equal(values[0, 0, 0], [0, 1, np.float32(1 / 3), 1])
    np.testing.assert_array_equal(values[0, 1:3], 0)  # accessibility is not known
    # The anchor's tile is the second; a step is 2 bp.
    signs = np.array([-1, 0, 1, 1])
    np.testing.assert_allclose(values[0, 3, 0], signs * np.log10(1 + np.array([2, 0, 2, 4])) / 6, rtol=1e-6)
    # AA, TT on the other strand, has its centres at 1 and 2 of 3 bp: tiles 1 and 2. The centre of a base alone lies on
    # the edge between tiles 1 and 2; the others are absent.
    np.testing.assert_array_equal(inputs["region_mask"], [[1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]])
    np.testing.assert_array_equal(values[1, 0, 1], [0, 1, 1, 0])
    np.testing.assert_array_equal(values[2, :, :, [0, 3]], 0)
    np.testing.assert_array_equal(inputs["region_context_ids"], [1, 1, 1])


def test_build_region_values_by_hand():
    assert REGION_CHANNELS == ("score", "accessibility", "accessibility_known", "distance")
    values = build_region_values(
        scores=np.array([[[0.1, 0.2], [0.3, 0.4], [np.nan, 9]]]),
        accessibility=np.array([[0.5, np.nan, 0.7]]),
        distances=np.array([[-9, 0, 1e9]]),
        region_mask=np.array([[True, True, False]]),
        num_motif_rows=3,
    )
    expected = [
        [[0.1, 0.3, 0], [0.2, 0.4, 0], [0, 0, 0]],
        [[0.5, 0, 0], [0.5, 0, 0], [0, 0, 0]],
        [[1, 0, 0], [1, 0, 0], [0, 0, 0]],
        [[-1 / 6, 0, 0], [-1 / 6, 0, 0], [0, 0, 0]],
    ]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [expected], rtol=1e-6)
    with pytest.raises(ValueError, match="num_motif_rows is 1, expected at least the number of motifs, 2"):
        build_region_values(np.zeros((1, 3, 2)), np.zeros((1, 3)), np.zeros((1, 3)), np.ones((1, 3)), 1)


def test_anchor_lies_in_its_column(extractor):
    regions, positions = [["ACG", "CCC", "CCC"]], [[100, 200, 300]]
    for anchor, columns in ((0, [1, 2, 3]), (1, [0, 1, 2])):
        inputs = extractor(regions=regions, positions=positions, anchor=[anchor])
        np.testing.assert_array_equal(np.flatnonzero(inputs["region_mask"][0]), columns)
        assert inputs["region_values"][0, 0, 0, columns[0]] == 1
        assert inputs["region_values"][0, 3, 0, 1] == 0
    full = extractor(regions=[["ACG"] * 4], positions=[[1, 2, 3, 4]])
    np.testing.assert_array_equal(full["region_mask"], [[1, 1, 1, 1]])


def test_an_example_does_not_depend_on_the_others(extractor):
    regions, positions = [["ACGTACGTAA", "ACGN"], ["CG"], ["TTTTTTTT"] * 4], [[1, 50], [3], [1, 20, 30, 40]]
    together = extractor(regions=regions, positions=positions)
    for example in range(3):
        alone = extractor(regions=[regions[example]], positions=[positions[example]])
        for name in extractor.model_input_names:
            np.testing.assert_array_equal(alone[name][0], together[name][example])


def test_default_geometry(bank):
    extractor = GeneBertFeatureExtractor(bank)
    assert (extractor.num_regions, extractor.anchor_index, extractor.region_width) == (32, 15, 500)
    assert extractor.num_motif_rows == 32
    many = MotifBank([str(i) for i in range(33)], [""] * 33, [""] * 33, [np.array(ACG)] * 33)
    assert GeneBertFeatureExtractor(many).num_motif_rows == 64
    inputs = extractor(regions=[["ACG"] * 32], positions=[list(range(32))], return_tensors="pt")
    assert inputs["region_values"].shape == (1, 4, 32, 32)
    assert inputs["region_values"].dtype == torch.float32
    assert inputs["region_mask"].dtype == inputs["region_context_ids"].dtype == torch.int64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either regions or sequences"),
        ({"regions": [["A"]], "sequences": ["A"]}, "either regions or sequences"),
        ({"sequences": ["A"], "positions": [[1]]}, "belong to regions, found them with sequences"),
        ({"sequences": "ACG"}, "sequences is a string, expected a list"),
        ({"regions": [["A"]]}, "positions are required with regions"),
        ({"regions": [["A"]], "positions": []}, "positions has 0 examples, regions has 1"),
        ({"regions": [["A"]], "positions": [[1]], "anchor": [0, 0]}, "anchor has 2 examples, regions has 1"),
        ({"regions": ["ACG"], "positions": [[1]]}, "Example 0: found a string, expected a list of DNA strings"),
        ({"regions": [[]], "positions": [[]]}, "Example 0 has 0 regions, expected 1 to 4"),
        ({"regions": [["A"] * 5], "positions": [[1] * 5]}, "Example 0 has 5 regions, expected 1 to 4"),
        (
            {"regions": [["A"], ["A", "C" * 11]], "positions": [[1], [1, 2]]},
            "Example 1, region 1 is 11 bp long, expected 1 to 10 .region_width.",
        ),
        ({"regions": [["A", ""]], "positions": [[1, 2]]}, "Example 0, region 1 is 0 bp long"),
        ({"regions": [["A"]], "positions": [[1]], "anchor": [1]}, "Example 0: anchor is 1, expected 0 to 0"),
        (
            {"regions": [["A"] * 3], "positions": [[1, 2, 3]], "anchor": [2]},
            "Example 0 has 2 regions before the anchor and 0 after it, expected at most 1 before and 2 after",
        ),
        ({"regions": [["A"] * 4], "positions": [[1, 2, 3, 4]], "anchor": [0]}, "0 regions before .* and 3 after it"),
        ({"regions": [["A", "C"]], "positions": [[1]]}, r"positions has shape \(1,\), .* for each region: 2"),
        ({"regions": [["A", "C"]], "positions": [[2, 1]]}, "Example 0: positions must ascend"),
        ({"regions": [["A", "C"]], "positions": [[1, None]]}, "Example 0: positions holds missing values"),
        ({"regions": [["A"]], "positions": [[1]], "accessibility": [[1.5]]}, r"accessibility must lie in \[0, 1\]"),
        ({"regions": [["A"]], "positions": [[1]], "accessibility": [[0.5, 0.5]]}, r"accessibility has shape \(2,\)"),
    ],
)
def test_call_refuses(extractor, arguments, message):
    with pytest.raises(ValueError, match=message):
        extractor(**arguments)


def test_anchor_outside_of_the_matrix(bank):
    with pytest.raises(ValueError, match="anchor_index is 4, expected 0 to 3"):
        GeneBertFeatureExtractor(bank, num_regions=4, anchor_index=4)


def test_call_without_a_bank():
    with pytest.raises(ValueError, match="no motif bank.*MotifBank.from_jaspar"):
        GeneBertFeatureExtractor()(sequences=["ACG"])


# Saving and loading


def test_save_and_load(extractor, tmp_path):
    extractor.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "preprocessor_config.json").read_text())
    config.pop("auto_map", None)
    assert config == {
        "anchor_index": 1,
        "feature_extractor_type": "GeneBertFeatureExtractor",
        "motif_bank_fingerprint": extractor.motif_bank.fingerprint,
        "num_regions": 4,
        "region_width": 10,
    }
    loaded = GeneBertFeatureExtractor.from_pretrained(tmp_path)
    assert loaded.motif_bank.fingerprint == extractor.motif_bank.fingerprint
    assert loaded.to_dict() == extractor.to_dict()
    mine, other = extractor(sequences=["ACGTTTAACG"]), loaded(sequences=["ACGTTTAACG"])
    for name in extractor.model_input_names:
        np.testing.assert_array_equal(mine[name], other[name])
    for load in (GeneBertFeatureExtractor.from_pretrained, GeneBertFeatureExtractor.from_json_file):
        from_file = load(tmp_path / "preprocessor_config.json")
        assert from_file.to_dict() == extractor.to_dict()


def test_another_bank_is_refused(extractor, bank, tmp_path):
    extractor.save_pretrained(tmp_path)
    swapped = bank.subset(["MX2.1", "MX1.1"])
    message = f"has fingerprint {swapped.fingerprint}, but the configuration was made with {bank.fingerprint}"
    with pytest.raises(ValueError, match=message):
        GeneBertFeatureExtractor.from_pretrained(tmp_path, motif_bank=swapped)
    swapped.save(tmp_path / "motifs.safetensors")
    with pytest.raises(ValueError, match=message):
        GeneBertFeatureExtractor.from_pretrained(tmp_path)
    (tmp_path / "motifs.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=f"has no motifs.safetensors, .* the motif bank {bank.fingerprint}"):
        GeneBertFeatureExtractor.from_pretrained(tmp_path)
    assert GeneBertFeatureExtractor.from_pretrained(tmp_path, motif_bank=bank).num_motif_rows == 32


def test_save_and_load_without_a_bank(tmp_path):
    GeneBertFeatureExtractor(num_regions=8).save_pretrained(tmp_path)
    assert "motifs.safetensors" not in {path.name for path in tmp_path.iterdir()}
    loaded = GeneBertFeatureExtractor.from_pretrained(tmp_path)
    assert loaded.motif_bank is None
    assert loaded.num_regions == 8
