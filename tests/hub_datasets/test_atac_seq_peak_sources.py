from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from hub_datasets.atac_seq import AtacSeq, AtacSeqOptions, build_atac_seq
from hub_datasets.atac_seq.__main__ import main
from hub_datasets.atac_seq.peak_sources import find_peaks
from modeling_genebert.motifs_genebert import MotifBank


GENOME = ">chrA\n" + "ACGT" * 50 + "\n>chrB\n" + "AACC" * 25 + "\n"


def narrow(*peaks):
    return "".join(
        f"{chrom}\t{summit - 5}\t{summit + 5}\t.\t0\t.\t{signal}\t1\t1\t5\n" for chrom, summit, signal in peaks
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "genome.fa").write_text(GENOME)
    (tmp_path / "data" / "T1.narrowPeak").write_text(narrow(("chrA", 20, 5), ("chrA", 60, 50), ("chrB", 30, 10)))
    (tmp_path / "data" / "T2.narrowPeak").write_text(narrow(("chrA", 22, 900), ("chrA", 100, 100)))
    (tmp_path / "data" / "B.bed").write_text("chrA\t15\t25\nchrA\t140\t150\n")
    (tmp_path / "samples.csv").write_text(
        "cell_type,path,donor,lab\n"
        'T cell,data/T1.narrowPeak,D1,"X, Y"\n'
        "B cell,data/B.bed,D1,\n"
        'T cell,data/T2.narrowPeak,D2,"X, Y"\n'
    )
    return tmp_path


@pytest.fixture(scope="session")
def motifs():
    counts = [[10 * (base == letter) for letter in "ACGT"] for base in "ACGT"]
    return MotifBank(ids=["M1"], names=["one"], families=["f"], counts=[np.array(counts, dtype=np.float32)])


def test_sample_sheet(folder):
    found = find_peaks(folder / "samples.csv", AtacSeqOptions())
    assert list(found.sources) == ["B cell", "T cell"]
    assert found.sources["B cell"].metadata == {"donor": "D1"}
    assert found.sources["T cell"].metadata == {"donor": "D1; D2", "lab": "X, Y"}
    assert found.files == {
        "sample sheet samples.csv": folder / "samples.csv",
        "T cell (replicate 1)": folder / "data" / "T1.narrowPeak",
        "T cell (replicate 2)": folder / "data" / "T2.narrowPeak",
        "B cell": folder / "data" / "B.bed",
    }
    # Replicates: one list after the other, each with its own ranks.
    pooled = found.sources["T cell"].read()
    assert pooled.summit.tolist() == [20, 60, 30, 22, 100]
    np.testing.assert_allclose(pooled.signal, [1 / 3, 1, 2 / 3, 1, 1 / 2], rtol=1e-6)
    assert found.sources["B cell"].read().start.tolist() == [15, 140]


def test_tab_separated_sheet_and_other_ways_to_give_peaks(folder):
    sheet = folder / "samples.tsv"
    sheet.write_text(f"path\tcell_type\n{folder}/data/B.bed\tB, mature\n", encoding="utf-8-sig")
    options = AtacSeqOptions()
    assert list(find_peaks(str(sheet), options).sources) == ["B, mature"]
    assert list(find_peaks(folder / "data", options).sources) == ["B", "T1", "T2"]
    assert list(find_peaks([sheet, folder / "data" / "T2.narrowPeak"], options).sources) == ["B, mature", "T2"]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("", ValueError, r"s.csv:1: no column cell_type and no column path in the header, found $"),
        ("cell_type,file\n", ValueError, r"s.csv:1: no column path in the header, found cell_type, file"),
        ("cell_type,path\n", ValueError, r"s.csv: no lines after the header"),
        (
            "cell_type,path\nB,data/B.bed\n\nT,data/X.bed\n",
            FileNotFoundError,
            r"s.csv:4: .*X.bed: no such file; paths",
        ),
        ("cell_type,path\n,data/B.bed\n", ValueError, r"s.csv:2: cell_type is empty"),
        ("cell_type,path\nB, \n", ValueError, r"s.csv:2: path is empty"),
        ("cell_type,path\nB\n", ValueError, r"s.csv:2: more or fewer columns than the header has"),
        ("cell_type,path\nB,data/B.bed,x\n", ValueError, r"s.csv:2: more or fewer columns than the header has"),
        ("cell_type,path\nB,genome.fa\n", ValueError, r"s.csv:2: .*genome.fa: not a peak file by its name, expected"),
        (
            "cell_type,path\nB,data/B.bed\nB,data/B.bed\n",
            ValueError,
            r"s.csv:3: .*B.bed a second time for cell type 'B'",
        ),
        ('cell_type,path\nB,"data/B.bed\n', ValueError, r"s.csv: not a sample sheet"),
        (b"cell_type,path\n\xff\xfe", ValueError, r"s.csv: not a sample sheet"),
    ],
)
def test_bad_sheets(folder, content, error, message):
    sheet = folder / "s.csv"
    sheet.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=message) as caught:
        find_peaks(sheet, AtacSeqOptions())
    assert "\n" not in str(caught.value)


def test_other_bad_input(folder):
    options = AtacSeqOptions()
    (folder / "s.csv").write_text("cell_type,path\nT1,data/B.bed\n")
    with pytest.raises(
        ValueError, match=r"T1.narrowPeak: cell type 'T1' comes a second time, after .*B.bed; rename one"
    ):
        find_peaks([folder / "s.csv", folder / "data"], options)
    with pytest.raises(
        FileNotFoundError, match="nowhere: no such file or folder, and no public corpus; those are desc"
    ):
        find_peaks("nowhere", options)
    with pytest.raises(FileNotFoundError, match="nowhere.csv: no such sample sheet"):
        find_peaks("nowhere.csv", options)
    with pytest.raises(FileNotFoundError, match="no peak files given"):
        find_peaks([], options)
    with pytest.raises(ValueError, match="source_dir=x: is for a public corpus, but peaks is .*data; expected one of"):
        find_peaks(folder / "data", options, source_dir="x")
    with pytest.raises(ValueError, match="min_cell_fraction_per_peak=2: expected 0 <= fraction <= 1"):
        AtacSeqOptions(min_cell_fraction_per_peak=2)
    with pytest.raises(ValueError, match="min_cells_per_peak=0: expected at least 1"):
        AtacSeqOptions(min_cells_per_peak=0)


def test_sheet_and_blacklist_in_all_three_ways(folder, motifs, capsys):
    (folder / "blacklist.bed").write_text("chrA\t140\t141\n")
    motifs.save(folder / "motifs.safetensors")
    inputs = {
        "genome": folder / "genome.fa",
        "peaks": folder / "samples.csv",
        "motifs": folder / "motifs.safetensors",
        "blacklist": folder / "blacklist.bed",
    }
    info = build_atac_seq(**inputs, output_dir=folder / "out", region_width=10, num_regions=4)
    # T cell: 17-27 (rank 1 in the second replicate, which beats 15-25), 55-65, 95-105, 25-35 on chrB. B cell: 145 is
    # blacklisted.
    assert info["num_consensus_regions"] == 4
    assert info["peaks"]["T cell"]["read"] == 5 and info["peaks"]["T cell"]["open_regions"] == 4
    assert info["peaks"]["B cell"]["skipped"]["blacklist"] == 1
    assert info["metadata"] == {"B cell": {"donor": "D1"}, "T cell": {"donor": "D1; D2", "lab": "X, Y"}}
    assert info["left_out"] == {} and info["corpus"] is None
    checksum = hashlib.sha256((folder / "blacklist.bed").read_bytes()).hexdigest()
    assert info["inputs"]["blacklist"] == {"file": "blacklist.bed", "sha256": checksum}
    assert list(info["inputs"]["peaks"]) == [
        "sample sheet samples.csv",
        "T cell (replicate 1)",
        "T cell (replicate 2)",
        "B cell",
    ]
    card = (folder / "out" / "README.md").read_text()
    assert "| B cell | D1 |  |" in card and "| T cell | D1; D2 | X, Y |" in card
    assert f"| blacklist | blacklist.bed | `{checksum}` |" in card
    assert json.loads((folder / "out" / "build_info.json").read_text()) == info

    builder = AtacSeq(cache_dir=str(folder / "cache"), config_name="regions", region_width=10, num_regions=4, **inputs)
    builder.download_and_prepare()
    assert builder.as_dataset()["train"]["start"][:] == [17, 55, 95, 25]

    arguments = [argument for name, value in inputs.items() for argument in (f"--{name}", str(value))]
    main([*arguments, "--output_dir", str(folder / "out"), "--region_width", "10", "--num_regions", "4"])
    assert "already built from these files with these options" in capsys.readouterr().out
    (folder / "blacklist.bed").write_text("chrA\t20\t21\n")
    with pytest.raises(SystemExit, match=r"error: .*out: was built with other inputs \(blacklist\)"):
        main([*arguments, "--output_dir", str(folder / "out"), "--region_width", "10", "--num_regions", "4"])


def test_single_cells_from_the_file_to_the_set(folder, motifs, capsys):
    anndata = pytest.importorskip("anndata")
    pd = pytest.importorskip("pandas")
    counts = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 1, 1]])
    obs = pd.DataFrame({"kind": ["T", "T", "B", "B", "rare"]}, index=list("abcde"))
    var = pd.DataFrame(index=["chrA:15-25", "chrA:55-65", "chrB:25-35"])
    anndata.AnnData(X=counts, obs=obs, var=var).write_h5ad(folder / "atlas.h5ad")
    info = build_atac_seq(
        genome=folder / "genome.fa",
        peaks=folder / "atlas.h5ad",
        output_dir=folder / "out",
        motifs=motifs,
        region_width=10,
        num_regions=4,
        cell_type_column="kind",
        min_cells_per_cell_type=2,
        min_cells_per_peak=1,
    )
    assert info["cell_types"] == ["B", "T"]
    assert info["num_consensus_regions"] == 3
    assert {name: counts["open_regions"] for name, counts in info["peaks"].items()} == {"B": 2, "T": 2}
    assert info["left_out"] == {"rare": "1 cells, fewer cells than min_cells_per_cell_type=2"}
    assert info["options"]["cell_type_column"] == "kind"
    assert "Left out: rare: 1 cells, fewer cells than" in capsys.readouterr().out
    assert "| rare | 1 cells, fewer cells than min_cells_per_cell_type=2 |" in (folder / "out/README.md").read_text()
