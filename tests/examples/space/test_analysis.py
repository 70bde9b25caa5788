from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from examples.prediction.records import Record
from examples.space.analysis import (
    FineTuned,
    Mutagenesis,
    Pretrained,
    RegionMatrix,
    one_hot,
    open_checkpoint,
    region_matrix,
    write_table,
)
from modeling_genebert import (
    GeneBertFeatureExtractor,
    GeneBertForMaskedLM,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertProcessor,
    GeneBertTokenizer,
    MotifBank,
)
from tests.examples.predicting import checkpoints, dna, logits_of, make_processor, motif_bank, save  # noqa: F401


def record(sequence, name="one"):
    return Record(name, {"id": name}, sequence)


# In-silico mutagenesis


def test_importance_is_the_mean_fall():
    changes = np.array([[0, -1, -2, -3], [3, 0, 3, 0], [np.nan] * 4])
    mutagenesis = Mutagenesis("ACN", changes, "score")
    assert mutagenesis.importance.tolist() == [2, -2, 0]


def test_table_of_a_mutagenesis(tmp_path):
    changes = np.array([[0, -1, -2, -3], [np.nan] * 4])
    probabilities = np.array([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])
    mutagenesis = Mutagenesis("AN", changes, "score", probabilities)
    path = write_table(tmp_path / "table.csv", mutagenesis.columns, mutagenesis.rows)
    assert path.read_text().splitlines() == [
        "start,base,importance,change_A,change_C,change_G,change_T,"
        "probability_A,probability_C,probability_G,probability_T",
        "0,A,2,0,-1,-2,-3,0.7,0.1,0.1,0.1",
        "1,N,0,,,,,0.25,0.25,0.25,0.25",
    ]


def test_a_model_that_counts(checkpoints):  # noqa: F811
    """Log-odds 2 (number of G) - (number of T), and 10 where the sequence begins with TA."""
    checkpoint = open_checkpoint(str(checkpoints["promoter"]))

    def logits(sequences):
        scores = [2 * s.count("G") - s.count("T") + 10 * s.startswith("TA") for s in sequences]
        return np.array([[0.5, 0.5 + score] for score in scores])

    checkpoint.logits = logits
    mutagenesis = checkpoint.mutate(record("uaNg"), "yes")
    assert mutagenesis.sequence == "TANG"
    assert mutagenesis.score == "log-odds of yes"
    expected = [[-9, -9, -7, 0], [0, -10, -8, -11], [math.nan] * 4, [-2, -2, 0, -3]]
    np.testing.assert_array_equal(mutagenesis.changes, expected)
    np.testing.assert_allclose(mutagenesis.importance, [25 / 3, 29 / 3, 0, 7 / 3])
    opposite = checkpoint.mutate(record("TANG"), "no")
    np.testing.assert_array_equal(opposite.changes, -np.array(expected))


@pytest.mark.parametrize(("name", "label", "column"), [("several", "GATA1", 1), ("value", "prediction", 0)])
def test_changes_are_those_of_the_model(checkpoints, name, label, column):  # noqa: F811
    sequence, mutant = dna(35), dna(35)[:20] + "A" + dna(35)[21:]
    assert mutant != sequence
    shares = []
    mutagenesis = open_checkpoint(str(checkpoints[name])).mutate(record(sequence), label, shares.append)
    logits = logits_of(checkpoints[name], GeneBertForSequenceClassification, [sequence, mutant])
    np.testing.assert_allclose(mutagenesis.changes[20, 0], logits[1, column] - logits[0, column], atol=1e-5)
    assert (mutagenesis.changes == 0).sum() == 35
    assert shares == sorted(shares) and shares[-1] == 1


def test_per_base_the_best_base_is_explained(checkpoints):  # noqa: F811
    sequence, mutant = dna(30), dna(30)[:10] + "G" + dna(30)[11:]
    assert mutant != sequence
    mutagenesis = open_checkpoint(str(checkpoints["splice"])).mutate(record(sequence), "donor")
    given, changed = logits_of(checkpoints["splice"], GeneBertForTokenClassification, [sequence, mutant]).softmax(-1)
    best = int(given[:, 1].argmax())
    assert mutagenesis.score == f"log-odds of donor at base {best}"
    np.testing.assert_allclose(
        mutagenesis.changes[10, 2], changed[best, 1].logit() - given[best, 1].logit(), atol=1e-5
    )


# Predictions


def test_rows_and_chart_of_classes(checkpoints):  # noqa: F811
    checkpoint = open_checkpoint(str(checkpoints["promoter"]))
    sequences = [dna(20), dna(31)]
    rows = checkpoint.predict([record(sequence, name) for name, sequence in zip("ab", sequences, strict=True)])
    expected = logits_of(checkpoints["promoter"], GeneBertForSequenceClassification, sequences).softmax(-1)
    assert [row["id"] for row in rows] == ["a", "b"]
    np.testing.assert_allclose([row["probability_yes"] for row in rows], expected[:, 1], atol=1e-6)
    assert checkpoint.chart({"prediction": "no", "probability_no": 0.9, "probability_yes": 0.1}) == {
        "no": 0.9,
        "yes": 0.1,
    }
    assert checkpoint.what == "Probabilities of each sequence: no, yes"
    assert checkpoint.max_length == 40


@pytest.mark.parametrize(
    ("name", "row", "label"),
    [
        ("promoter", {"probability_no": 0.9, "probability_yes": 0.1}, "yes"),
        ("several", {"probability_CTCF": 0.2, "probability_GATA1": 0.9, "probability_SPI1": 0.8}, "GATA1"),
        ("splice", {"max_donor": 0.3, "max_acceptor": 0.4}, "acceptor"),
        ("value", {"prediction": 2.0}, "prediction"),
        ("masked", {}, "log-likelihood"),
    ],
)
def test_what_is_explained_by_default(checkpoints, name, row, label):  # noqa: F811
    checkpoint = open_checkpoint(str(checkpoints[name]))
    assert checkpoint.default_label(row) == label
    assert label in checkpoint.labels


# Pre-training


@pytest.fixture(scope="module", params=[1, 2], ids=["stride1", "stride2"])
def masked(request, tmp_path_factory):
    processor = make_processor(motif_bank())
    if request.param == 2:
        tokenizer = GeneBertTokenizer(kmer=3, stride=2, model_max_length=40)
        processor = GeneBertProcessor(processor.feature_extractor, tokenizer)
    folder = save(tmp_path_factory.mktemp("masked") / "run", GeneBertForMaskedLM, processor, stride=request.param)
    return open_checkpoint(str(folder))


def naive_probabilities(checkpoint, sequence, base):
    """What the model says of one hidden base, k-mer by k-mer."""
    tokenizer = checkpoint.processor.tokenizer
    kmer, stride = tokenizer.kmer, tokenizer.stride
    inputs = checkpoint.processor([sequence], return_tensors="pt")
    hidden = f"{sequence[:base]}N{sequence[base + 1 :]}"
    inputs.update(checkpoint.processor.feature_extractor(sequences=[hidden], return_tensors="pt"))
    starts = [start for start in range(0, len(sequence) - kmer + 1, stride) if start <= base < start + kmer]
    tokens = [1 + start // stride for start in starts]
    inputs["input_ids"][0, tokens] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = checkpoint.model(**inputs).logits[0]
    marginals = []
    for start, token in zip(starts, tokens, strict=True):
        marginal = dict.fromkeys("ACGT", 0.0)
        for number, probability in enumerate(logits[token, 5 : 5 + 4**kmer].softmax(-1).tolist()):
            marginal[tokenizer.convert_ids_to_tokens(5 + number)[base - start]] += probability
        marginals.append(list(marginal.values()))
    return np.mean(marginals, axis=0)


def test_hidden_bases(masked):
    sequence = dna(37)
    probabilities = masked.base_probabilities(sequence)
    for base in (0, 1, 17, 34, 36):
        np.testing.assert_allclose(probabilities[base], naive_probabilities(masked, sequence, base), atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_hidden_base_is_not_seen(masked):
    sequence = dna(37)
    probabilities = masked.base_probabilities(sequence)
    for base in "ACGT":
        other = masked.base_probabilities(f"{sequence[:20]}{base}{sequence[21:]}")
        np.testing.assert_allclose(other[20], probabilities[20], atol=1e-6)
        if base != sequence[20]:
            assert abs(other[22] - probabilities[22]).max() > 1e-6


def test_bases_that_no_whole_kmer_covers_are_unknown(masked):
    probabilities = masked.base_probabilities(dna(36))
    is_unknown = np.isnan(probabilities).any(axis=1)
    assert is_unknown.tolist() == [False] * 35 + [masked.processor.tokenizer.stride == 2]
    assert masked.predict([record(dna(36))])[0]["perplexity"] > 1


def test_likelihood_and_ratios(masked, monkeypatch):
    probabilities = np.array([[0.5, 0.25, 0.125, 0.125], [0.125, 0.125, 0.5, 0.25], [0.7, 0.1, 0.1, 0.1]])
    monkeypatch.setattr(masked, "base_probabilities", lambda sequence, progress=None: probabilities)
    (row,) = masked.predict([record("Atn")])
    assert row == {
        "id": "one",
        "length": 3,
        "mean_log_likelihood": pytest.approx(-1.5 * math.log(2)),
        "perplexity": pytest.approx(2**1.5),
        "bases_recovered": 0.5,
    }
    assert masked.chart(row) == {"bases recovered": 0.5, "by guessing": 0.25}
    mutagenesis = masked.mutate(record("Atn"), "log-likelihood")
    ratios = np.log(2) * np.array([[0, -1, -2, -2], [-1, -1, 1, 0]])
    np.testing.assert_allclose(mutagenesis.changes[:2], ratios, atol=1e-12)
    assert np.isnan(mutagenesis.changes[2]).all()
    np.testing.assert_allclose(mutagenesis.importance, np.log(2) * np.array([5 / 3, 1 / 3, 0]))


# Region matrix


def test_region_matrix_of_a_planted_site():
    site = np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]]) * 20.0  # TATAA
    other = np.array([[0, 0, 1, 0]] * 6) * 20.0  # GGGGGG
    bank = MotifBank(["MA1.1", "MA2.1"], ["TBP", "SP1"], ["TBP-related", "unclassified"], [site, other])
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=4), GeneBertTokenizer(kmer=3))
    matrix = region_matrix(processor, "C" * 10 + "T" * 12 + "TATAA" + "T" * 13)
    assert matrix.edges.tolist() == [0, 10, 20, 30, 40]
    assert matrix.tiles == ["0-10", "10-20", "20-30", "30-40"]
    assert matrix.scores[0, 2] == 1
    assert matrix.scores[0, [0, 3]].tolist() == [0, 0]
    assert matrix.scores[1].tolist() == [1, 0, 0, 0]  # CCCCCC, on the other strand
    np.testing.assert_allclose(matrix.bits, bank.max_scores)
    assert matrix.rows[0]["name"] == "TBP"
    assert matrix.rows[0]["20-30"] == 1
    assert list(matrix.columns) == ["motif", "name", "family", "best_bits", *matrix.tiles]


def test_the_best_motifs_are_of_different_families():
    matrix = RegionMatrix(
        scores=np.zeros((6, 2), dtype=np.float32),
        bits=np.array([3, 9, 8, 1, 5, 6], dtype=np.float32),
        ids=list("abcdef"),
        names=list("ABCDEF"),
        families=["Fos", "Fos", "Fos", "Jun", "unclassified", "unclassified"],
        edges=np.array([0.0, 5, 10]),
    )
    assert matrix.best(2) == [1, 5]
    assert matrix.best(10) == [1, 3, 4, 5]


def test_one_hot():
    assert one_hot("aUn").astype(int).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


# Opening


def test_kinds_of_checkpoints(checkpoints):  # noqa: F811
    assert isinstance(open_checkpoint(str(checkpoints["promoter"])), FineTuned)
    assert isinstance(open_checkpoint(str(checkpoints["masked"])), Pretrained)


def test_a_checkpoint_of_pretraining(pretrained):
    checkpoint = open_checkpoint(str(pretrained))
    assert isinstance(checkpoint, Pretrained)
    assert checkpoint.predict([record(dna(12))])[0]["length"] == 12


def test_no_such_checkpoint(tmp_path, checkpoints):  # noqa: F811
    (tmp_path / "empty").mkdir()
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    for name, message in (
        ("", "No checkpoint: give a folder or a Hub id"),
        (str(tmp_path / "missing"), f"No checkpoint '{tmp_path / 'missing'}': neither a folder nor found"),
        ("lab/missing", "No checkpoint 'lab/missing': neither a folder nor found on the Hub ("),
        (str(tmp_path / "empty"), f"Unrecognized model in {tmp_path / 'empty'}"),
        (str(tmp_path / "bert"), f"{tmp_path / 'bert'} was saved as BertModel, which predicts nothing yet"),
        (str(checkpoints["effect"]), f"{checkpoints['effect']} predicts effects of variants: use examples/predict.py"),
    ):
        with pytest.raises(ValueError) as error:
            open_checkpoint(name)
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)


def test_trained_with_open_regions(checkpoints, tmp_path):  # noqa: F811
    for path in checkpoints["promoter"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "with_context": True}))
    with pytest.raises(ValueError, match="was trained with the open regions of a cell type round each sequence"):
        open_checkpoint(str(tmp_path))
