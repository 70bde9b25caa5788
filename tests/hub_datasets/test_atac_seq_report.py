from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_datasets.atac_seq import report
from hub_datasets.atac_seq.report import (
    draw_pictures,
    hit_thresholds,
    region_statistics,
    split_statistics,
    write_hit_rates,
)
from hub_datasets.atac_seq.tables import region_features, window_features
from modeling_genebert.dna_genebert import encode_dna
from modeling_genebert.motifs_genebert import MotifBank


CELL_TYPES = ["T $4$", "B", "NK"]
NAN = np.nan
# Regions x cell types: T and B share the first two, region 2 is only T's (not measured), region 3 only NK's.
ACCESSIBILITY = [[0.2, 0.4, 0], [0.6, 0.8, 0], [NAN, 0, 0], [0, 0, 1.0], [1.0, 0.6, 0.5]]
TOUCHING = [[False, False, True], [False, False, True], [False, True, False], [False] * 3, [False] * 3]
GC = [0.1, 0.2, 0.304, 0.4, 0.5]
# Of the motifs with the words ACGTACGT, AAAAAAAA (one family) and ACG, which is too short for any hit.
SCORES = [[1, 0, 1], [1, 0.2, 1], [0.5, 0, 1], [0, 1, 1], [1, 0, 1]]
INFO = {
    "options": {"held_out_cell_types": ["NK"]},
    "peaks": {name: {"widths": [100, 200, 300, 400, 500]} for name in CELL_TYPES},
}


def make_bank(*words: str, families: list[str] | None = None) -> MotifBank:
    counts = [np.array([[100 * (base == letter) for letter in "ACGT"] for base in word]) for word in words]
    names = [word.lower() for word in words]
    return MotifBank([f"M{word}" for word in words], names, families or ["family"] * len(words), counts)


BANK = make_bank("ACGTACGT", "AAAAAAAA", "ACG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set written by hand: five regions in two files, and four windows."""
    for config in ("regions", "windows"):
        (tmp_path / config).mkdir()
    regions = {
        "region_id": range(5),
        "chrom": ["chr1"] * 5,
        "start": range(0, 500, 100),
        "end": range(50, 550, 100),
        "gc": GC,
        "sequence": ["A" * 50] * 5,
        "scores": [np.array(row, "<f2").tobytes() for row in SCORES],
        "accessibility": ACCESSIBILITY,
        "touching": TOUCHING,
    }
    schema = region_features(CELL_TYPES).arrow_schema
    table = pa.table({name: pa.array(list(values), schema.field(name).type) for name, values in regions.items()})
    for number, part in enumerate([table[:3], table[3:]]):
        pq.write_table(part, tmp_path / "regions" / f"train-{number:05d}-of-00002.parquet")
    windows = {
        "chrom": ["chr1", "chr1", "chr2", "chr2"],
        "start": [0, 100, 0, 0],
        "end": [150, 250, 50, 350],
        "cell_type": [0, 0, 0, 1],
        "anchor": [0, 1, 4, 4],
        "region_ids": [[-1, 0, 1], [0, 1, 2], [-1, 4, -1], [1, 4, -1]],
        "next_region": [1, 2, -1, -1],
    }
    schema = window_features(CELL_TYPES, 3).arrow_schema
    table = pa.table({name: pa.array(values, schema.field(name).type) for name, values in windows.items()})
    pq.write_table(table, tmp_path / "windows" / "train-00000-of-00001.parquet")
    return tmp_path


@pytest.mark.parametrize("rows_per_batch", [2, 1000])
def test_region_statistics_by_hand(folder, monkeypatch, rows_per_batch):
    monkeypatch.setitem(report._ROWS_PER_BATCH, "regions", rows_per_batch)
    regions = region_statistics(folder, CELL_TYPES, BANK)
    assert regions.num_regions == 5
    assert regions.num_open.tolist() == [4, 3, 2]
    assert regions.num_both.tolist() == [[4, 3, 1], [3, 3, 1], [1, 1, 2]]
    assert regions.num_open_in.tolist() == [0, 2, 2, 1]
    assert regions.num_only.tolist() == [1, 0, 1]
    assert regions.num_not_measured.tolist() == [1, 0, 0]
    assert regions.num_touching.tolist() == [0, 1, 2]
    np.testing.assert_allclose(regions.jaccard, [[1, 3 / 4, 1 / 5], [3 / 4, 1, 1 / 4], [1 / 5, 1 / 4, 1]])
    # 5th, 25th, 50th, 75th and 95th percentile, to the nearest 0.01, of T, B, NK and all regions
    np.testing.assert_allclose(
        regions.gc,
        [[0.1, 0.1, 0.2, 0.3, 0.5], [0.1, 0.1, 0.2, 0.5, 0.5], [0.4, 0.4, 0.4, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5]],
    )
    np.testing.assert_allclose(
        regions.accessibility, [[0.2, 0.2, 0.6, 1, 1], [0.4, 0.4, 0.6, 0.8, 0.8], [0.5, 0.5, 0.5, 1, 1]]
    )
    assert regions.num_hits.tolist() == [[3, 0, 0], [3, 0, 0], [1, 1, 0]]
    np.testing.assert_allclose(regions.hit_rates, [[0.75, 0, 0], [1, 0, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(regions.pooled_hit_rates, [7 / 9, 1 / 9, 0])
    # (hits + pooled rate) / (open regions + 1) / pooled rate
    np.testing.assert_allclose(regions.log2_enrichment[2], np.log2([(1 + 7 / 9) / 3 * 9 / 7, (1 + 1 / 9) / 3 * 9, 1]))
    # (hits - expected) / sqrt(open regions * rate * (1 - rate))
    np.testing.assert_allclose(
        regions.z_scores[1], [(3 - 21 / 9) / np.sqrt(42 / 81 * 1), -3 / 9 / np.sqrt(24 / 81), 0]
    )


def test_cell_types_without_measurement_have_no_percentiles(folder):
    file = next((folder / "regions").glob("*-00000-*"))
    table = pq.read_table(file)
    nan = pa.array([[NAN, 0, NAN]] * 3, table["accessibility"].type)
    pq.write_table(table.set_column(7, "accessibility", nan), file)
    next((folder / "regions").glob("*-00001-*")).unlink()
    regions = region_statistics(folder, CELL_TYPES, BANK)
    assert np.isnan(regions.accessibility).all()
    assert regions.num_not_measured.tolist() == [3, 0, 3]


def test_one_motif_a_family(folder):
    families = ["f", "f", "g"]
    regions = region_statistics(folder, CELL_TYPES, make_bank("ACGTACGT", "AAAAAAAA", "ACG", families=families))
    assert regions.most_enriched(2, 5) == [1]  # the other has fewer hits than expected
    assert regions.most_enriched(1, 5) == [0]
    assert regions.most_different(5) == [1]  # of the two of family f; the third has no hits
    unknown = make_bank("ACGTACGT", "AAAAAAAA", "ACG", families=["unclassified"] * 3)
    assert region_statistics(folder, CELL_TYPES, unknown).most_different(5) == [1, 0]
    assert region_statistics(folder, CELL_TYPES, unknown).most_different(1) == [1]


@pytest.mark.parametrize("rows_per_batch", [1, 1000])
def test_split_statistics_by_hand(folder, monkeypatch, rows_per_batch):
    monkeypatch.setitem(report._ROWS_PER_BATCH, "windows", rows_per_batch)
    split = split_statistics(folder, "train", 3)
    assert split.num_windows == 4
    assert split.num_anchors == 3
    assert split.num_cell_types == 2
    assert split.chromosomes == ["chr1", "chr2"]
    assert split.mean_regions == (2 + 3 + 1 + 2) / 4
    assert split.mean_span == (150 + 150 + 50 + 350) / 4
    assert split.share_with_next == 0.5


@pytest.mark.parametrize("p_value", [0.05, 0.003, 0.0003])
def test_hit_thresholds_equal_counting_all_words(p_value):
    rng = np.random.default_rng(0)
    background = (0.3, 0.2, 0.2, 0.3)
    counts = [rng.integers(0, 30, (width, 4)) + 1 for width in (3, 5, 6)]
    bank = MotifBank(["a", "b", "c"], ["a", "b", "c"], ["f"] * 3, counts, background=background)
    for index, threshold in enumerate(hit_thresholds(bank, p_value)):
        steps = np.rint(bank.log_odds[index] * 64)
        words = list(itertools.product(range(4), repeat=len(steps)))
        scores = np.array([sum(steps[position, base] for position, base in enumerate(word)) for word in words])
        probability = np.array([np.prod([background[base] for base in word]) for word in words])
        rare = [score for score in np.unique(scores) if probability[scores >= score].sum() <= p_value]
        expected = min(1, rare[0] / 64 / bank.max_scores[index]) if rare else np.inf
        assert threshold == pytest.approx(expected, rel=1e-6)
    assert np.isinf(hit_thresholds(make_bank("ACG"), 1e-4)).all()


@pytest.mark.parametrize("count", range(20, 100, 8))
def test_the_best_site_is_a_hit_although_scores_are_rounded(count):
    word = "ACGTACG"  # one of 4**7 words: no other is rare enough
    bank = MotifBank(
        ["a"], ["a"], ["f"], [np.array([[count * (base == letter) for letter in "ACGT"] for base in word])]
    )
    threshold = hit_thresholds(bank, 1e-4)
    assert 0.99 < threshold[0] <= 1
    score = bank.score(encode_dna(word + "TTT")[None])[:, :, 0].astype(np.float16)
    assert score[0] >= threshold.astype(np.float16)


def test_hit_rates_file(folder):
    write_hit_rates(folder / "hits.tsv", region_statistics(folder, CELL_TYPES, BANK))
    lines = (folder / "hits.tsv").read_text().splitlines()
    assert lines[0] == "id\tname\tfamily\tthreshold\tall cell types\tT $4$\tB\tNK"
    assert lines[2].startswith("MAAAAAAAA\taaaaaaaa\tfamily\t")
    assert lines[2].endswith("\t0.1111\t0.0000\t0.0000\t0.5000")
    assert lines[3] == "MACG\tacg\tfamily\tinf\t0.0000\t0.0000\t0.0000\t0.0000"


PICTURES = ["cell_types.png", "jaccard.png", "motifs.png", "sharing.png"]


def test_pictures_are_the_same_bytes_each_time_and_whatever_the_users_style(folder):
    matplotlib = pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    regions = region_statistics(folder, CELL_TYPES, BANK)
    figures = folder / "figures"
    assert sorted(draw_pictures(figures, regions, INFO)) == PICTURES
    before = {file.name: file.read_bytes() for file in figures.iterdir()}
    assert sorted(before) == PICTURES
    (figures / "old.png").write_text("of an earlier build")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        draw_pictures(figures, regions, INFO)
        assert matplotlib.rcParams["font.size"] == 20
    assert {file.name: file.read_bytes() for file in figures.iterdir()} == before
    for name in PICTURES:
        with image.open(figures / name) as picture:
            assert set(picture.info) == {"dpi"}  # no version, no date
            assert min(picture.size) > 200 and len(picture.convert("RGB").getcolors(1 << 24)) > 10


def test_one_cell_type_has_no_overlaps_to_draw(folder):
    pytest.importorskip("matplotlib")
    for file in (folder / "regions").iterdir():
        table = pq.read_table(file)
        accessibility = pa.array([[1.0]] * len(table), pa.list_(pa.float32(), 1))
        touching = pa.array([[False]] * len(table), pa.list_(pa.bool_(), 1))
        table = table.set_column(7, "accessibility", accessibility).set_column(8, "touching", touching)
        pq.write_table(table, file)
    regions = region_statistics(folder, ["T $4$"], BANK)
    assert sorted(draw_pictures(folder / "figures", regions, INFO)) == ["cell_types.png", "sharing.png"]
    assert regions.most_enriched(0, 5) == []


@pytest.mark.parametrize("missing", ["matplotlib", "scipy"])
def test_no_pictures_without_the_plotting_libraries(folder, monkeypatch, missing):
    for module in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    (folder / "figures").mkdir()
    (folder / "figures" / "old.png").write_text("of an earlier build")
    assert draw_pictures(folder / "figures", region_statistics(folder, CELL_TYPES, BANK), INFO) == []
    assert not (folder / "figures").exists()
