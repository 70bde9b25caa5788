from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse

from hub_datasets.atac_seq import AtacSeqOptions, single_cell
from hub_datasets.atac_seq.peak_sources import find_peaks
from hub_datasets.atac_seq.single_cell import PseudoBulk


anndata = pytest.importorskip("anndata")
pd = pytest.importorskip("pandas")

# 7 cells x 4 peaks; the cell types of the rows are below.
COUNTS = np.array([[2, 0, 1, 0], [0, 0, 3, 0], [1, 0, 0, 0], [0, 5, 0, 0], [0, 1, 1, 0], [9, 9, 9, 9], [7, 7, 7, 7]])
CELL_TYPES = ["T", "T", "T", "B", "B", "rare", None]
NAMES = ["chr1:10-20", "chrUn_KI1v1:5-8", "chr2:100-130", "chr2:0-9"]


def write(path, counts=COUNTS, names=NAMES, obs=None, var=None):
    obs = pd.DataFrame({"cell_type": pd.Categorical(CELL_TYPES)}) if obs is None else obs
    obs.index = [f"cell{number}" for number in range(len(obs))]
    var = pd.DataFrame(index=names) if var is None else var
    anndata.AnnData(X=counts, obs=obs, var=var).write_h5ad(path)
    return path


def bulk(path, column="cell_type", cells=2, cells_per_peak=1, fraction=0.0):
    return PseudoBulk(path, column, cells, cells_per_peak, fraction)


@pytest.mark.parametrize(
    "matrix",
    [
        sparse.csr_matrix(COUNTS.astype(np.float32)),
        sparse.csc_matrix(COUNTS.astype(np.float32)),
        COUNTS.astype(np.float64),
        (COUNTS > 0).astype(np.int8),
    ],
    ids=["csr", "csc", "dense", "binary"],
)
@pytest.mark.parametrize("block", [1, 5, 1 << 24])
def test_pseudo_bulk_by_hand(tmp_path, monkeypatch, matrix, block):
    monkeypatch.setattr(single_cell, "ENTRIES_PER_BLOCK", block)
    found = bulk(write(tmp_path / "atlas.h5ad", matrix))
    assert found.num_cells == {"B": 2, "T": 3}
    assert found.left_out == {
        "rare": "1 cells, fewer cells than min_cells_per_cell_type=2",
        "(no cell type)": "1 cells without a value in 'cell_type'",
    }
    peaks = found.peaks("T")
    assert peaks.chrom.tolist() == ["chr1", "chr2"]
    assert peaks.start.tolist() == [10, 100]
    assert peaks.end.tolist() == [20, 130]
    assert peaks.summit.tolist() == [-1, -1]
    np.testing.assert_allclose(peaks.signal, [2 / 3, 2 / 3])
    peaks = found.peaks("B")
    assert peaks.chrom.tolist() == ["chrUn_KI1v1", "chr2"]
    np.testing.assert_allclose(peaks.signal, [1, 1 / 2])


def test_explicit_zeros_are_no_accessibility(tmp_path):
    matrix = sparse.csr_matrix(COUNTS.astype(np.float32))
    matrix.data[0] = 0  # cell 0, peak 0
    found = bulk(write(tmp_path / "atlas.h5ad", matrix))
    np.testing.assert_allclose(found.peaks("T").signal, [1 / 3, 2 / 3])


def test_thresholds(tmp_path):
    path = write(tmp_path / "atlas.h5ad")
    assert bulk(path, cells_per_peak=2).peaks("B").start.tolist() == [5]
    assert bulk(path, fraction=0.5).peaks("B").start.tolist() == [5, 100]
    assert bulk(path, fraction=0.51).peaks("B").start.tolist() == [5]
    assert bulk(path, cells=1).num_cells == {"B": 2, "T": 3, "rare": 1}
    with pytest.raises(
        ValueError, match="no peak is accessible in enough of the 3 cells of cell type 'T'; lower min_c"
    ):
        bulk(path, fraction=0.9).peaks("T")
    with pytest.raises(ValueError, match=r"all 3 cell types in 'cell_type' have fewer cells .*=9; the largest has 3"):
        bulk(path, cells=9)


@pytest.mark.parametrize("name", ["chr1_10_20", "chr1-10-20", "chr1:10_20"])
def test_ways_to_name_a_peak(tmp_path, name):
    found = bulk(write(tmp_path / "atlas.h5ad", names=[name, *NAMES[1:]])).peaks("T")
    assert (found.chrom[0], found.start[0], found.end[0]) == ("chr1", 10, 20)


@pytest.mark.parametrize("chrom", ["chrom", "chr", "seqnames"])
def test_peaks_in_columns_of_var(tmp_path, chrom):
    var = pd.DataFrame({chrom: list("abcd"), "start": [1, 2, 3, 4], "end": [5, 6, 7, 8]}, index=list("wxyz"))
    found = bulk(write(tmp_path / "atlas.h5ad", var=var)).peaks("T")
    assert found.chrom.tolist() == ["a", "c"] and found.start.tolist() == [1, 3] and found.end.tolist() == [5, 7]


def test_many_cells_equal_a_plain_count(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    monkeypatch.setattr(single_cell, "ENTRIES_PER_BLOCK", 1000)
    dense = random.random((500, 60)) < 0.1
    types = random.choice(["a", "b", "c"], 500)
    names = [f"chr1:{100 * number}-{100 * number + 50}" for number in range(60)]
    obs = pd.DataFrame({"kind": types})
    found = bulk(write(tmp_path / "a.h5ad", sparse.csr_matrix(dense.astype(int)), names, obs), "kind", 10, 8, 0.06)
    for cell_type in "abc":
        share = dense[types == cell_type].mean(axis=0)
        enough = (share >= 0.06) & (share * (types == cell_type).sum() >= 8)
        assert found.peaks(cell_type).start.tolist() == (100 * np.flatnonzero(enough)).tolist()
        np.testing.assert_allclose(found.peaks(cell_type).signal, share[enough])


def test_bad_files(tmp_path, monkeypatch):
    path = write(tmp_path / "atlas.h5ad")
    with pytest.raises(ValueError, match="cell_type_column='kind': expected one of the columns of obs: cell_type"):
        bulk(path, column="kind")
    with pytest.raises(ValueError, match="cell_type_column=None: expected one of the columns of obs: cell_type"):
        bulk(path, column=None)
    with pytest.raises(ValueError, match="var row 2: found 'GATA1', expected a peak as chr1:100-200"):
        bulk(write(tmp_path / "b.h5ad", names=[NAMES[0], "GATA1", *NAMES[2:]])).peaks("T")
    with pytest.raises(ValueError, match="var row 1: found start 30, end 20"):
        bulk(write(tmp_path / "b.h5ad", names=["chr1:30-20", *NAMES[1:]])).peaks("T")
    for value in (-1, np.nan):
        counts = COUNTS.astype(float)
        counts[3, 1] = value
        with pytest.raises(ValueError, match="b.h5ad: X holds negative or missing values, expected counts"):
            bulk(write(tmp_path / "b.h5ad", counts)).peaks("T")
    (tmp_path / "c.h5ad").write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="c.h5ad: not an .h5ad file, or truncated"):
        bulk(tmp_path / "c.h5ad")
    with pytest.raises(FileNotFoundError, match="d.h5ad: no such file"):
        bulk(tmp_path / "d.h5ad")
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ImportError, match=r".h5ad files need anndata: pip install genebert\[inputs\]"):
        bulk(path)


def test_as_a_source_of_peaks(tmp_path):
    path = write(tmp_path / "atlas.h5ad")
    options = AtacSeqOptions(cell_type_column="cell_type", min_cells_per_cell_type=2, min_cells_per_peak=1)
    found = find_peaks(path, options)
    assert list(found.sources) == ["B", "T"]
    assert found.sources["T"].metadata == {"cells": "3"}
    assert found.sources["T"].read().start.tolist() == [10, 100]
    assert list(found.left_out) == ["rare", "(no cell type)"]
    assert found.files == {"cells x peaks atlas.h5ad": path}
