import json
import os
import pickle
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from modeling_genebert.dna_genebert import encode_dna, reverse_complement
from modeling_genebert.motifs_genebert import MotifBank


# With pseudocount 1 and equal background, (1.75 + 0.25) / (3 + 1) = 2 * 0.25 is a log-odds of 1 bit, and so on.
HIGH, EQUAL, LOW = 1.75, 0.75, 0.25  # 1, 0, -1 bit


def row(best, second):
    """Counts that give 1 bit for the base `best`, 0 for `second`, -1 for the two others."""
    return [HIGH if base == best else EQUAL if base == second else LOW for base in "ACGT"]


# Prefers ACG; on the other strand it reads CGT.
ACG = [row("A", "C"), row("C", "A"), row("G", "T")]
# Prefers TT; on the other strand it reads AA.
TT = [row("T", "G"), row("T", "G")]


@pytest.fixture
def bank():
    return MotifBank(["MX1.1", "MX2.1"], ["ONE", "TWO"], ["f1", "f2"], [np.array(ACG), np.array(TT)], source="hand")


@pytest.fixture(scope="module")
def jaspar():
    pytest.importorskip("pyjaspar")
    return MotifBank.from_jaspar()


def pad(sequences):
    codes = np.full((len(sequences), max(map(len, sequences))), 4, dtype=np.uint8)
    for index, sequence in enumerate(sequences):
        codes[index, : len(sequence)] = encode_dna(sequence)
    return codes, np.array([len(sequence) for sequence in sequences])


def score_in_plain_python(bank, sequence, num_tiles):
    """The definition of the score, with loops over strings: list of M lists of `num_tiles` scores."""
    complement = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
    result = []
    for log_odds in bank.log_odds:
        best = [0.0] * num_tiles
        for start in range(len(sequence) - len(log_odds) + 1):
            site = sequence[start : start + len(log_odds)]
            other_strand = "".join(complement[base] for base in reversed(site))
            for strand in (site, other_strand):
                score = sum(float(log_odds[i]["ACGT".index(base)]) for i, base in enumerate(strand) if base != "N")
                for tile in range(num_tiles):
                    left, right = (Fraction(edge * len(sequence), num_tiles) for edge in (tile, tile + 1))
                    if left <= start + Fraction(len(log_odds), 2) <= right:
                        best[tile] = max(best[tile], score)
        result.append([score / float(sum(max(position) for position in log_odds)) for score in best])
    return result


# Scoring


def test_log_odds_and_best_scores_by_hand(bank):
    np.testing.assert_array_equal(bank.log_odds[0], [[1, 0, -1, -1], [0, 1, -1, -1], [-1, -1, 1, 0]])
    np.testing.assert_array_equal(bank.log_odds[1], [[-1, -1, 0, 1], [-1, -1, 0, 1]])
    np.testing.assert_array_equal(bank.max_scores, [3, 2])
    assert len(bank) == 2


def test_log_odds_follow_the_formula_with_another_background():
    bank = MotifBank(["M"], ["M"], [""], [np.array([[8, 0, 1, 1]])], pseudocount=2.0, background=(0.3, 0.2, 0.2, 0.3))
    # (8 + 0.6) / 12 / 0.3, (0 + 0.4) / 12 / 0.2, (1 + 0.4) / 12 / 0.2, (1 + 0.6) / 12 / 0.3
    expected = np.log2([2.388889, 0.166667, 0.583333, 0.444444])
    np.testing.assert_allclose(bank.log_odds[0][0], expected, atol=2**-18 + 1e-6)
    np.testing.assert_array_equal(bank.log_odds[0] * 2**17, np.round(bank.log_odds[0] * 2**17))


@pytest.mark.parametrize(
    ("sequence", "one", "two"),
    [
        ("ACG", 1.0, 0.5),  # the site itself: 1 + 1 + 1 of 3; AC reads GT on the other strand: 0 + 1 of 2
        ("CGT", 1.0, 0.5),  # the site on the other strand; GT: 0 + 1
        ("TACGT", 1.0, 0.5),  # the same, after a T: TA is 1 - 1
        ("ANG", 2 / 3, 0.5),  # 1 + 0 + 1; AN reads NT on the other strand: 0 + 1
        ("acn", 2 / 3, 0.5),  # lower case: 1 + 1 + 0
        ("TTT", 0.0, 1.0),  # -1 - 1 + 0, on the other strand -1 + 0 + 1; TT: 1 + 1
        ("GGG", 0.0, 0.0),  # -1 - 1 + 1, on the other strand -1 - 1 + 0; GG: 0 + 0
        ("NNN", 0.0, 0.0),
        ("AA", 0.0, 1.0),  # shorter than the first motif
        ("A", 0.0, 0.0),  # shorter than both
    ],
)
def test_score_by_hand(bank, sequence, one, two):
    scores = bank.score(encode_dna(sequence)[None])
    assert scores.shape == (1, 2, 1)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores[0, :, 0], np.array([one, two], dtype=np.float32))


def test_tiles_by_hand(bank):
    # 8 bp in 4 tiles of 2 bp. ACG has its centre at 2.5 (tile 1), CGT at 3.5 and 6.5 (tiles 1 and 3), TCG (-1 + 1 + 1
    # of 3) at 5.5 (tile 2).
    scores = bank.score(encode_dna("TACGTCGT")[None], num_tiles=4)
    assert scores.shape == (1, 2, 4)
    np.testing.assert_array_equal(scores[0, 0], np.array([0, 1, 1 / 3, 1], dtype=np.float32))


def test_a_site_counts_for_the_tile_of_its_centre_or_both_on_their_edge(bank):
    # Two tiles of 3 bp: the site at 2-4 begins in the first tile; its centre, 3.5, lies in the second.
    for site in ("ACG", "CGT"):
        scores = bank.score(encode_dna(f"GG{site}G")[None], num_tiles=2)[0, 0]
        assert scores[0] < 1
        assert scores[1] == 1
    # TT at 2-3 lies across the edge of the two.
    np.testing.assert_array_equal(bank.score(encode_dna("GGTTGG")[None], num_tiles=2)[0, 1], [1, 1])


DNA = st.text(alphabet="ACGTN", max_size=30)
COUNTS = st.lists(
    st.tuples(*[st.integers(0, 50)] * 4).filter(lambda counts: len(set(counts)) > 1), min_size=1, max_size=7
)


@settings(max_examples=150, deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=4), st.lists(DNA, min_size=1, max_size=5), st.integers(1, 9))
def test_score_equals_plain_python(matrices, sequences, num_tiles):
    names = [f"M{index}" for index in range(len(matrices))]
    bank = MotifBank(names, names, names, [np.array(matrix) for matrix in matrices])
    codes, lengths = pad(sequences)
    scores = bank.score(codes, lengths, num_tiles)
    expected = [score_in_plain_python(bank, sequence, num_tiles) for sequence in sequences]
    opposite = bank.score(*pad([reverse_complement(sequence) for sequence in sequences]), num_tiles)
    np.testing.assert_array_equal(opposite, scores[:, :, ::-1])
    np.testing.assert_array_equal(scores, np.array(expected, dtype=np.float32))


@settings(max_examples=100, deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=4), st.lists(DNA, min_size=1, max_size=5), st.floats(0.01, 10))
def test_bits_follow_the_formula_without_rounding(matrices, sequences, pseudocount):
    """Before normalization, to 1e-4 bits; from the counts in double precision, without `log_odds`."""
    names = [f"M{index}" for index in range(len(matrices))]
    bank = MotifBank(names, names, names, [np.array(matrix) for matrix in matrices], pseudocount=pseudocount)
    codes, lengths = pad(sequences)
    bits = bank.score(codes, lengths)[:, :, 0] * bank.max_scores
    for column, counts in enumerate(np.array(matrix, dtype=np.float64) for matrix in matrices):
        total = counts.sum(axis=1, keepdims=True) + pseudocount
        log_odds = dict(zip("ACGT", np.log2((counts + pseudocount / 4) / total * 4).T, strict=True)) | {
            "N": 0 * total[:, 0]
        }
        for index, sequence in enumerate(sequences):
            both = (sequence, sequence[::-1].translate(str.maketrans("ACGT", "TGCA")))
            sites = [strand[i : i + len(counts)] for strand in both for i in range(len(sequence) - len(counts) + 1)]
            best = max([0.0, *(sum(log_odds[base][i] for i, base in enumerate(site)) for site in sites)])
            assert abs(bits[index, column] - best) < 1e-4


def test_score_does_not_depend_on_the_batch(jaspar):
    bank = jaspar.subset(jaspar.ids[::20])
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, (5, 90)).astype(np.uint8)
    lengths = np.array([90, 1, 40, 0, 90])
    together = bank.score(codes, lengths, 3)
    assert together.max() > 0.5
    assert not together[3].any()
    for index, length in enumerate(lengths):
        np.testing.assert_array_equal(bank.score(codes[index : index + 1, :length], num_tiles=3)[0], together[index])


def test_both_strands_score_alike(jaspar):
    codes = np.random.default_rng(1).integers(0, 4, (2, 120)).astype(np.uint8)
    other_strand = np.array([1, 0, 3, 2], dtype=np.uint8)[codes[:, ::-1]]
    np.testing.assert_array_equal(jaspar.score(codes), jaspar.score(other_strand))


def test_a_bank_goes_to_another_process_without_its_tables(jaspar):
    codes = np.random.default_rng(2).integers(0, 4, (2, 60)).astype(np.uint8)
    scores = jaspar.score(codes)
    pickled = pickle.dumps(jaspar)
    assert len(pickled) < 1_000_000
    np.testing.assert_array_equal(pickle.loads(pickled).score(codes), scores)


def test_score_without_sequences(bank):
    assert bank.score(np.zeros((0, 10), dtype=np.uint8)).shape == (0, 2, 1)
    assert bank.score(np.zeros((2, 0), dtype=np.uint8), num_tiles=4).shape == (2, 2, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((1, 4), dtype=np.int64),), "uint8 array of shape"),
        ((np.zeros(4, dtype=np.uint8),), "uint8 array of shape"),
        ((np.full((1, 4), 5, dtype=np.uint8),), "base codes of 0 to 4"),
        ((np.zeros((1, 4), dtype=np.uint8), [5]), "lengths must be 1 numbers"),
        ((np.zeros((1, 4), dtype=np.uint8), [4, 4]), "lengths must be 1 numbers"),
        ((np.zeros((1, 4), dtype=np.uint8), None, 0), "num_tiles must be at least 1"),
    ],
)
def test_score_refuses(bank, arguments, message):
    with pytest.raises(ValueError, match=message):
        bank.score(*arguments)


# The bank


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": [], "names": [], "families": [], "counts": []}, "empty"),
        ({"ids": ["A", "A"]}, "Motif id A comes 2 times"),
        ({"names": ["ONE"]}, "2 ids, 1 names, 2 families, 2 count matrices"),
        ({"counts": [ACG, [[1, 2, 3]]]}, r"Motif MX2.1: counts of shape \(1, 3\)"),
        ({"counts": [ACG, np.zeros((0, 4))]}, r"Motif MX2.1: counts of shape \(0, 4\)"),
        ({"counts": [ACG, [[1, 0, 0, 0], [0, 0, 0, 0]]]}, "Motif MX2.1, position 2: counts .*sum above 0"),
        ({"counts": [ACG, [[1, -1, 5, 0]]]}, "Motif MX2.1, position 1: counts"),
        ({"counts": [ACG, [[1, np.nan, 5, 0]]]}, "Motif MX2.1, position 1: counts"),
        ({"counts": [ACG, [[5, 5, 5, 5]]]}, "Motif MX2.1: .*prefers no base"),
        ({"counts": [ACG, [[1e9, 0, 0, 0]] * 64]}, "Motif MX2.1: .*score is 128.0, .* above 0 and below 128"),
        ({"pseudocount": 0}, "pseudocount must be a number above 0, found 0.0"),
        ({"background": (0.5, 0.5, 0.5, 0.5)}, "sum to 1"),
        ({"background": (0.5, 0.5, 0, 0)}, "four positive probabilities"),
        ({"background": (0.5, 0.5)}, "four positive probabilities"),
    ],
)
def test_bad_banks_are_refused(changes, message):
    arguments = {"ids": ["MX1.1", "MX2.1"], "names": ["1", "2"], "families": ["", ""], "counts": [ACG, TT]}
    with pytest.raises(ValueError, match=message):
        MotifBank(**{**arguments, **changes})


def test_subset_keeps_the_order_given(bank):
    swapped = bank.subset(["MX2.1", "MX1.1"])
    assert (swapped.ids, swapped.names, swapped.families) == (["MX2.1", "MX1.1"], ["TWO", "ONE"], ["f2", "f1"])
    np.testing.assert_array_equal(swapped.counts[0], TT)
    with pytest.raises(ValueError, match="1 motif ids are not in the bank .hand.: MX9"):
        bank.subset(["MX1.1", "MX9"])


def test_fingerprint_stands_for_what_scores_depend_on(bank):
    def variant(**changes):
        arguments = {name: getattr(bank, name) for name in ("ids", "names", "families", "counts")}
        return MotifBank(**{**arguments, **changes}).fingerprint

    assert bank.fingerprint == "76e6fa595569e7f34362753613b992531786a0684a20abb32bc0d44485e232b3"
    assert variant(names=["x", "y"], source="elsewhere") == bank.fingerprint
    others = [
        bank.subset(["MX2.1", "MX1.1"]).fingerprint,
        variant(ids=["MX1.2", "MX2.1"]),
        variant(counts=[ACG, ACG]),
        variant(pseudocount=0.5),
        variant(background=(0.3, 0.2, 0.2, 0.3)),
    ]
    assert len({bank.fingerprint, *others}) == 6


def test_counts_are_read_only(bank):
    with pytest.raises(ValueError, match="read-only"):
        bank.counts[0][0, 0] = 7


# Files


def test_save_and_load(bank, tmp_path):
    path = tmp_path / "new folder" / "motifs.safetensors"
    bank.save(path)
    loaded = MotifBank.load(path)
    for name in ("ids", "names", "families", "pseudocount", "background", "source", "fingerprint"):
        assert getattr(loaded, name) == getattr(bank, name)
    for mine, other in zip(loaded.counts, bank.counts, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert MotifBank.from_file(path).fingerprint == bank.fingerprint
    assert [file.name for file in path.parent.iterdir()] == ["motifs.safetensors"]
    content = path.read_bytes()
    bank.save(path)
    assert path.read_bytes() == content


def test_an_interrupted_save_leaves_the_old_file(bank, tmp_path, monkeypatch):
    path = tmp_path / "motifs.safetensors"
    bank.save(path)

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        bank.subset(["MX1.1"]).save(path)
    assert len(MotifBank.load(path)) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_load_refuses_a_changed_bank(bank, tmp_path):
    path = tmp_path / "motifs.safetensors"
    bank.save(path)
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["motif_bank"])
        tensors = {name: file.get_tensor(name) for name in ("counts", "widths")}
    header["ids"].reverse()
    save_file(tensors, path, metadata={"motif_bank": json.dumps(header)})
    with pytest.raises(ValueError, match=f"corrupt.*{bank.fingerprint}"):
        MotifBank.load(path)


def test_load_refuses_other_files(bank, tmp_path):
    path = tmp_path / "motifs.safetensors"
    with pytest.raises(FileNotFoundError, match="no such motif bank file"):
        MotifBank.load(path)
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="not a motif bank file"):
        MotifBank.load(path)
    bank.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="not a motif bank file"):
        MotifBank.load(path)


MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF MA1.1 first of two
letter-probability matrix: alength= 4 w= 2 nsites= 40 E= 0
 0.50 0.25 0.25 0.00
 0.00 0.00 1.00 0.00
URL http://example.org

MOTIF MA2.1
letter-probability matrix:
1e-1 0.1 0.1 0.7
"""
JASPAR = """>MA1.1\tfirst
A  [ 20  0 ]
C  [ 10  0 ]
G  [ 10 40 ]
T  [  0  0 ]

>MA2.1
2
2
2
14
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("text", "names"), [(MEME, ["first of two", "MA2.1"]), (JASPAR, ["first", "MA2.1"])], ids=["meme", "jaspar"]
)
def test_text_formats(text, names, newline, tmp_path):
    path = tmp_path / "motifs.txt"
    path.write_bytes(text.replace("\n", newline).encode())
    bank = MotifBank.from_file(path)
    assert bank.ids == ["MA1.1", "MA2.1"]
    assert bank.names == names
    assert bank.families == ["unclassified", "unclassified"]
    assert bank.source == "motifs.txt"
    np.testing.assert_allclose(bank.counts[0], [[20, 10, 10, 0], [0, 0, 40, 0]])
    np.testing.assert_allclose(bank.counts[1], [[2, 2, 2, 14]])


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (MEME, "ACGT\n", "ACDEFG\n", "line 3: found 'ALPHABET= ACDEFG'"),
        (MEME, "MOTIF MA1.1 first of two", "MOTIF", "line 10: MOTIF without an id"),
        (MEME, "alength= 4", "alength= 20", "line 11: found alength= 20, expected 4"),
        (MEME, "w= 2", "w= 3", "line 13: motif MA1.1 has 2 rows, expected w= 3"),
        (MEME, "nsites= 40", "nsites= many", "line 11: found 'many', expected numbers"),
        (MEME, "0.50 0.25", "0.50 0.35", "line 12: found .*, expected 4 probabilities that sum to 1"),
        (MEME, " 0.50 0.25 0.25 0.00", " 0.75 0.25", "line 12: found .*, expected 4 probabilities"),
        (MEME, "0.00 0.00 1.00", "0.00 x 1.00", "line 13: found '0.00 x 1.00 0.00', expected numbers"),
        (MEME, "1e-1 0.1 0.1 0.7\n", "", "motif MA2.1 has 0 rows"),
        (MEME, "letter-probability matrix:\n1e-1 0.1 0.1 0.7\n", "", "MA2.1 has no letter-probability matrix"),
        (MEME, "letter-probability matrix: alength= 4 w= 2 nsites= 40 E= 0", "", "line 16: motif MA1.1 before this"),
        (MEME, "MOTIF MA2.1\n", "", "line 16: a letter-probability matrix without a MOTIF line"),
        (MEME, "MA2.1", "MA1.1", "Motif id MA1.1 comes 2 times"),
        (MEME, "MEME version 4", "LEME version 4", "starts with 'LEME version 4', expected"),
        (JASPAR, ">MA1.1\tfirst", ">", "line 1: found '>' alone"),
        (JASPAR, "T  [  0  0 ]\n", "", "line 6: motif MA1.1 before this line has 3 rows"),
        (JASPAR, "\n14\n", "\n", "line 10: motif MA2.1 has 3 rows, expected 4"),
        (JASPAR, "\n14\n", "\n14\n3\n", "line 12: found a fifth row for motif MA2.1"),
        (JASPAR, "C  [ 10  0 ]", "G  [ 10  0 ]", "line 3: found the row of base G, expected C"),
        (JASPAR, "C  [ 10  0 ]", "C  [ 10 ]", "line 3: row C of motif MA1.1 has 1 counts, expected 2 as in row A"),
        (JASPAR, "C  [ 10  0 ]", "C  [ ten  0 ]", "line 3: found '.*ten  0', expected numbers"),
        (JASPAR, "C  [ 10  0 ]", "C  [ -10  0 ]", "Motif MA1.1, position 1: counts"),
    ],
)
def test_text_formats_refuse(text, old, new, message, tmp_path):
    assert text.count(old) == 1
    path = tmp_path / "motifs.txt"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        MotifBank.from_file(path)
    assert str(path) in str(error.value)


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / "motifs.meme"
    with pytest.raises(FileNotFoundError, match="no such motif file"):
        MotifBank.from_file(path)
    path.write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(ValueError, match="not a text file"):
        MotifBank.from_file(path)
    path.write_text("")
    with pytest.raises(ValueError, match="starts with '', expected"):
        MotifBank.from_file(path)


@settings(max_examples=100, deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=3), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_any_jaspar_text_comes_back(tmp_path_factory, matrices, labelled, newline):
    lines = []
    for number, matrix in enumerate(matrices):
        lines.append(f">M{number} name")
        for base, counts in zip("ACGT", zip(*matrix, strict=True), strict=True):
            numbers = " ".join(map(str, counts))
            lines.append(f"{base} [ {numbers} ]" if labelled else numbers)
    path = tmp_path_factory.mktemp("jaspar") / "motifs.jaspar"
    path.write_bytes(newline.join(lines).encode())
    for counts, matrix in zip(MotifBank.from_file(path).counts, matrices, strict=True):
        np.testing.assert_array_equal(counts, matrix)


WORDS = st.sampled_from(
    [*">ACGT[].0", "12", "0.25 0.25 0.25 0.25", "0.1 0.2 0.3 0.4", "MOTIF", "M1", "\n", " ", "w= 1"]
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([">M\n", "MEME version 4\n", MEME, JASPAR]), st.lists(WORDS, max_size=30))
def test_broken_text_gives_a_bank_or_a_value_error(tmp_path_factory, start, words):
    path = tmp_path_factory.mktemp("text") / "motifs.txt"
    path.write_text(start + "".join(words))
    try:
        assert len(MotifBank.from_file(path)) > 0
    except ValueError as error:
        assert str(path) in str(error)


# JASPAR


def test_jaspar_release(jaspar):
    assert len(jaspar) == 1019
    assert jaspar.source == "JASPAR2026 CORE vertebrates"
    assert jaspar.names[:3] == ["Arid3a", "Arid3b", "Arid5a"]
    ctcf = jaspar.names.index("CTCF")
    assert jaspar.ids[ctcf] == "MA0139.2"
    assert jaspar.families.count("unclassified") == 3
    # Related factors are neighbours: a family is one run, but for families that belong to several classes.
    runs = 1 + sum(a != b for a, b in zip(jaspar.families, jaspar.families[1:], strict=False))
    assert runs < 1.1 * len(set(jaspar.families))


def test_jaspar_finds_a_consensus_site_in_place(jaspar):
    ctcf = jaspar.subset(["MA0139.2"])
    best_site = "".join("ACGT"[base] for base in ctcf.log_odds[0].argmax(axis=1))
    sequence = "T" * 20 + best_site + "T" * 20
    scores = ctcf.score(encode_dna(sequence)[None], num_tiles=len(sequence))[0, 0]
    assert scores[20 + len(best_site) // 2] == 1
    assert scores.argmax() == 20 + len(best_site) // 2


@pytest.mark.filterwarnings("ignore:Zero motifs returned")
def test_unknown_release_lists_those_that_exist():
    pytest.importorskip("pyjaspar")
    with pytest.raises(ValueError, match="Unknown JASPAR release 'JASPAR1999': pyjaspar has JASPAR2014, .*JASPAR2026"):
        MotifBank.from_jaspar("JASPAR1999")
    with pytest.raises(ValueError, match="no motifs in JASPAR2026 CORE martians"):
        MotifBank.from_jaspar(tax_group="martians")


def test_without_pyjaspar(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjaspar", None)
    with pytest.raises(ImportError, match=r"pip install genebert\[motifs\]"):
        MotifBank.from_jaspar()


def test_resolve(bank, tmp_path):
    pytest.importorskip("pyjaspar")
    assert MotifBank.resolve("JASPAR2014").source == "JASPAR2014 CORE vertebrates"
    assert MotifBank.resolve("JASPAR2014:CORE:nematodes").source == "JASPAR2014 CORE nematodes"
    assert MotifBank.resolve("JASPAR2024:UNVALIDATED").source == "JASPAR2024 UNVALIDATED vertebrates"
    assert MotifBank.resolve("JASPAR2024:UNVALIDATED:all").source == "JASPAR2024 UNVALIDATED"
    with pytest.raises(ValueError, match="There are no motifs in JASPAR2024 CORE birds"):
        MotifBank.resolve("JASPAR2024:CORE:birds")
    path = tmp_path / "mine.jaspar"
    path.write_text(JASPAR)
    assert MotifBank.resolve(path).ids == ["MA1.1", "MA2.1"]
    with pytest.raises(FileNotFoundError, match="neither a motif file nor a JASPAR release"):
        MotifBank.resolve(tmp_path / "other.jaspar")
