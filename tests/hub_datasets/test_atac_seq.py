from __future__ import annotations

import gzip
import hashlib
import json

import numpy as np
import pytest
from datasets import ClassLabel, load_dataset

from hub_datasets.atac_seq import AtacSeq, build_atac_seq, shards
from hub_datasets.atac_seq.__main__ import main
from hub_datasets.atac_seq.consensus import SKIP_REASONS
from modeling_genebert.motifs_genebert import MotifBank


# chrA is ACGT repeated, with ten N at 150; regions are 10 bp wide.
GENOME = ">chrA\n" + "ACGT" * 37 + "AC" + "N" * 10 + "gt" + "acgt" * 9 + "AC\n>chrB\n" + "AACC" * 25 + "\n"
ALPHA = """\
chrA	10	30	a1	0	.	5	-1	-1	10
chrB	25	35	a2	0	.	7	-1	-1	5
chrA	40	60	a3	0	.	9	-1	-1	10
chrA	85	99	a4	0	.	1	-1	-1	5
chrA	190	220	a5	0	.	3	-1	-1	1
chrZ	10	30	a6	0	.	2	-1	-1	5
chrA	10	30	a7	0	.	4	-1	-1	10
"""
# Midpoints 23, 120, 155 (in the N), 28.
BETA = "chrA\t18\t28\nchrA\t115\t125\nchrA\t145\t165\nchrA\t23\t33\n"
OPTIONS = {"region_width": 10, "num_regions": 4, "validation_chromosomes": ["chrB"], "held_out_cell_types": ["beta"]}


@pytest.fixture(scope="session")
def motifs():
    def counts(word):
        return np.array([[10 * (base == letter) for letter in "ACGT"] for base in word], dtype=np.float32)

    return MotifBank(
        ids=["M1", "M2"], names=["one", "two"], families=["f", "f"], counts=[counts("ACGT"), counts("AAAA")]
    )


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "peaks").mkdir()
    (tmp_path / "genome.fa").write_text(GENOME)
    (tmp_path / "peaks" / "alpha.narrowPeak").write_text(ALPHA)
    (tmp_path / "peaks" / "beta.bed").write_text(BETA)
    return {"genome": tmp_path / "genome.fa", "peaks": tmp_path / "peaks", "output_dir": tmp_path / "out"}


def digests(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_whole_set_by_hand(inputs, motifs, tmp_path, capsys):
    info = build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    out = str(inputs["output_dir"])

    regions = load_dataset(out, "regions", split="train", cache_dir=str(tmp_path / "cache"))
    assert regions["region_id"][:] == [0, 1, 2, 3, 4]
    assert regions["chrom"][:] == ["chrA", "chrA", "chrA", "chrA", "chrB"]
    assert regions["start"][:] == [15, 45, 85, 115, 25]
    assert regions["end"][:] == [25, 55, 95, 125, 35]
    assert regions["sequence"][:] == ["TACGTACGTA", "CGTACGTACG", "CGTACGTACG", "TACGTACGTA", "ACCAACCAAC"]
    np.testing.assert_allclose(regions["gc"][:], [0.4, 0.6, 0.6, 0.4, 0.5], rtol=1e-6)
    expected = [[5 / 7, np.nan], [1, 0], [1 / 7, 0], [0, np.nan], [6 / 7, 0]]
    np.testing.assert_array_equal(regions["accessibility"][:], np.array(expected, dtype=np.float32))
    assert regions["touching"][:] == [[False, False]] * 5
    scores = np.array([np.frombuffer(row, "<f2") for row in regions["scores"][:]])
    assert scores.shape == (5, 2)
    np.testing.assert_array_equal(scores[:4], [[1, 0]] * 4)
    codes = np.array([[0, 2, 2, 0, 0, 2, 2, 0, 0, 2]], dtype=np.uint8)
    np.testing.assert_array_equal(scores[4], motifs.score(codes)[0, :, 0].astype(np.float16))

    windows = load_dataset(out, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in windows.items()} == {
        "train": 3,
        "validation": 1,
        "train_unseen_cell_types": 2,
    }
    assert windows["train"].features["cell_type"] == ClassLabel(names=["alpha", "beta"])
    train = {"chrom": "chrA", "cell_type": 0}
    assert list(windows["train"]) == [
        {**train, "start": 15, "end": 95, "anchor": 0, "region_ids": [-1, 0, 1, 2], "next_region": 1},
        {**train, "start": 15, "end": 95, "anchor": 1, "region_ids": [0, 1, 2, -1], "next_region": 2},
        {**train, "start": 45, "end": 95, "anchor": 2, "region_ids": [1, 2, -1, -1], "next_region": -1},
    ]
    assert list(windows["validation"]) == [
        {
            "chrom": "chrB",
            "start": 25,
            "end": 35,
            "cell_type": 0,
            "anchor": 4,
            "region_ids": [-1, 4, -1, -1],
            "next_region": -1,
        }
    ]
    assert windows["train_unseen_cell_types"]["cell_type"][:] == [1, 1]
    assert windows["train_unseen_cell_types"]["region_ids"][:] == [[-1, 0, 3, -1], [0, 3, -1, -1]]
    assert windows["train_unseen_cell_types"]["next_region"][:] == [3, -1]

    nothing = dict.fromkeys(SKIP_REASONS, 0)
    assert info["peaks"] == {
        "alpha": {
            "read": 7,
            "used": 4,
            "skipped": {**nothing, "unknown chromosome": 1, "past chromosome end": 1, "duplicate": 1},
            "open_regions": 4,
            "widths": [10, 14, 20, 20, 30],
        },
        "beta": {
            "read": 4,
            "used": 2,
            "skipped": {**nothing, "too many N": 1, "overlap": 1},
            "open_regions": 2,
            "widths": [10, 10, 10, 10, 20],
        },
    }
    assert info["splits"] == {"train": 3, "validation": 1, "train_unseen_cell_types": 2}
    assert info["num_consensus_regions"] == 5
    assert info["anchor_index"] == 1
    assert info["chromosomes"] == {"chrA": 200, "chrB": 100}
    assert info["inputs"]["motifs"]["fingerprint"] == motifs.fingerprint
    assert info["inputs"]["genome"]["sha256"] == hashlib.sha256(GENOME.encode()).hexdigest()
    assert info == json.loads((inputs["output_dir"] / "build_info.json").read_text())
    assert MotifBank.load(inputs["output_dir"] / "motifs.safetensors").fingerprint == motifs.fingerprint
    printed = capsys.readouterr().out
    assert "alpha               7     4" in printed
    assert "Windows: train 3, validation 1, train_unseen_cell_types 2" in printed


def test_streaming_needs_no_code_of_ours(inputs, motifs):
    build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    stream = load_dataset(str(inputs["output_dir"]), split="train", streaming=True)
    assert [row["anchor"] for row in stream] == [0, 1, 2]
    assert stream.features["cell_type"].names == ["alpha", "beta"]
    regions = load_dataset(str(inputs["output_dir"]), "regions", split="train", streaming=True)
    assert [row["start"] for row in regions] == [15, 45, 85, 115, 25]


def test_two_sets_in_folders_of_one_name_are_not_mixed_up(inputs, motifs, tmp_path):
    first, second = (tmp_path / name / "atlas" for name in ("first", "second"))
    build_atac_seq(**{**inputs, "output_dir": first}, motifs=motifs, **OPTIONS)
    build_atac_seq(**{**inputs, "output_dir": second}, motifs=motifs, **{**OPTIONS, "held_out_cell_types": []})
    assert len(load_dataset(str(first), split="train")) == 3
    assert len(load_dataset(str(second), split="train")) == 5


def test_the_same_bytes_for_any_number_of_workers_and_order_of_files(inputs, motifs, tmp_path):
    build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    again = {**inputs, "output_dir": tmp_path / "again", "peaks": sorted(inputs["peaks"].iterdir(), reverse=True)}
    build_atac_seq(**again, motifs=motifs, num_workers=2, **OPTIONS)
    assert digests(inputs["output_dir"]) == digests(again["output_dir"])


def test_unsorted_crlf_gzip_and_lower_case_change_no_row(inputs, motifs, tmp_path):
    build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    other = tmp_path / "other"
    other.mkdir()
    shuffled = "\r\n".join(reversed(ALPHA.splitlines())) + "\r\n"
    (other / "alpha.narrowPeak.gz").write_bytes(gzip.compress(shuffled.encode()))
    (other / "beta.bed").write_text("track name=x\n" + BETA)
    changed = tmp_path / "changed.fa.gz"
    changed.write_bytes(gzip.compress(GENOME.lower().replace("chra", "chrA").replace("chrb", "chrB").encode()))
    build_atac_seq(genome=changed, peaks=other, output_dir=tmp_path / "again", motifs=motifs, **OPTIONS)
    first, second = digests(inputs["output_dir"]), digests(tmp_path / "again")
    parquet = [name for name in first if name.endswith(".parquet")]
    assert len(parquet) == 4
    assert [first[name] for name in parquet] == [second[name] for name in parquet]


def test_shards_hold_a_fixed_number_of_rows(inputs, motifs, monkeypatch, tmp_path):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", {"regions": 2, "windows": 2, "background": 2})
    build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    names = [name for name in digests(inputs["output_dir"]) if name.endswith(".parquet")]
    assert names == [
        "regions/train-00000-of-00003.parquet",
        "regions/train-00001-of-00003.parquet",
        "regions/train-00002-of-00003.parquet",
        "windows/train-00000-of-00002.parquet",
        "windows/train-00001-of-00002.parquet",
        "windows/train_unseen_cell_types-00000-of-00001.parquet",
        "windows/validation-00000-of-00001.parquet",
    ]
    regions = load_dataset(
        str(inputs["output_dir"]),
        "regions",
        split="train",
        cache_dir=str(tmp_path / "cache"),
        verification_mode="all_checks",
    )
    assert regions["start"][:] == [15, 45, 85, 115, 25]


def test_built_before(inputs, motifs, capsys):
    first = build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    before = digests(inputs["output_dir"])
    capsys.readouterr()
    assert build_atac_seq(**inputs, motifs=motifs, **OPTIONS) == first
    assert "was already built from these files with these options" in capsys.readouterr().out

    with pytest.raises(
        ValueError, match=r"out: was built with other options \(stride\); give another output_dir, or ove"
    ):
        build_atac_seq(**inputs, motifs=motifs, **OPTIONS, stride=2)
    with pytest.raises(ValueError, match=r"out: was built with other inputs \(motifs\)"):
        build_atac_seq(**inputs, motifs=motifs.subset(["M1"]), **OPTIONS)
    (inputs["peaks"] / "beta.bed").write_text(BETA + "chrA\t60\t70\n")
    with pytest.raises(ValueError, match=r"out: was built with other inputs \(peaks\)"):
        build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    assert digests(inputs["output_dir"]) == before

    build_atac_seq(**inputs, motifs=motifs, **OPTIONS, overwrite=True)
    info = json.loads((inputs["output_dir"] / "build_info.json").read_text())
    assert info["num_consensus_regions"] == 6
    (inputs["output_dir"] / "motifs.safetensors").unlink()
    with pytest.raises(ValueError, match="motifs.safetensors: missing or changed since it was built"):
        build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    assert sorted(file.name for file in inputs["output_dir"].parent.iterdir()) == ["genome.fa", "out", "peaks"]


def test_a_folder_of_something_else_is_never_touched(inputs, motifs):
    inputs["output_dir"].mkdir()
    (inputs["output_dir"] / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="out: exists and is not an ATAC-seq set built before"):
            build_atac_seq(**inputs, motifs=motifs, overwrite=overwrite, **OPTIONS)
    assert (inputs["output_dir"] / "thesis.txt").read_text() == "precious"


def damage(inputs, name, content):
    path = inputs["output_dir"].parent / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("peaks/beta.bed", b"chrA\t30\t20\n", r"beta.bed:1: found start 30, end 20"),
        ("peaks/beta.bed", b"", r"beta.bed: no peaks in the file"),
        ("peaks/beta.bed", b"A\t1\t9\n", r"beta.bed: none of its chromosomes .* 'A' here seems to be 'chrA' there"),
        (
            "peaks/beta.bed",
            b"chrA\t500\t600\n",
            r"beta.bed: none of its 1 peaks can be used \(1 past chromosome end\)",
        ),
        ("peaks/beta.bed", gzip.compress(BETA.encode(), mtime=0)[:-9], r"beta.bed: truncated or damaged gzip"),
        ("peaks/beta.narrowPeak", b"", r"beta.narrowPeak: second file of cell type 'beta'"),
        (
            "genome.fa",
            b">chrB\nACGT\n",
            r"beta.bed: none of its chromosomes .* the peaks have chrA; the genome has chrB$",
        ),
        ("genome.fa", b"", r"genome.fa: empty file"),
        ("genome.fa", None, r"genome.fa: no such file"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing_behind(inputs, motifs, name, content, message):
    damage(inputs, name, content)
    before = sorted(file.name for file in inputs["output_dir"].parent.iterdir())
    options = {**OPTIONS, "validation_chromosomes": []}
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        build_atac_seq(**inputs, motifs=motifs, **options)
    assert "\n" not in str(error.value)
    assert sorted(file.name for file in inputs["output_dir"].parent.iterdir()) == before


def test_unknown_names_among_the_options(inputs, motifs):
    with pytest.raises(ValueError, match="test_chromosomes: no chr7; there are chrA, chrB"):
        build_atac_seq(**inputs, motifs=motifs, test_chromosomes=["chr7"])
    with pytest.raises(ValueError, match="held_out_cell_types: no gamma; there are alpha, beta"):
        build_atac_seq(**inputs, motifs=motifs, held_out_cell_types=["gamma"])
    with pytest.raises(ValueError, match="num_workers=0: expected at least 1"):
        build_atac_seq(**inputs, motifs=motifs, num_workers=0, region_width=10)
    with pytest.raises(FileNotFoundError, match="neither a motif file nor a JASPAR release"):
        build_atac_seq(**inputs, motifs="nothing.meme")


def test_the_builder_gives_the_same_rows(inputs, motifs, tmp_path):
    build_atac_seq(**inputs, motifs=motifs, **OPTIONS)
    motifs.save(tmp_path / "motifs.safetensors")
    cache = str(tmp_path / "cache")
    raw = {"genome": inputs["genome"], "peaks": inputs["peaks"], "motifs": tmp_path / "motifs.safetensors", **OPTIONS}
    for config, splits in [("windows", ["train", "validation", "train_unseen_cell_types"]), ("regions", ["train"])]:
        builder = AtacSeq(config_name=config, cache_dir=cache, **raw)
        builder.download_and_prepare()
        built = builder.as_dataset()
        exported = load_dataset(str(inputs["output_dir"]), config, cache_dir=cache)
        assert list(built) == list(exported) == splits
        for split in splits:
            assert built[split].features == exported[split].features
            # As text, because NaN is not equal to itself.
            assert str(built[split][:]) == str(exported[split][:])
    other = AtacSeq(cache_dir=cache, **{**raw, "stride": 2})
    assert other.cache_dir != AtacSeq(cache_dir=cache, **raw).cache_dir
    assert other.config.name == "windows"
    same = AtacSeq(cache_dir=cache, **raw).cache_dir
    (inputs["peaks"] / "beta.bed").write_text(BETA + "chrA\t60\t70\n")
    assert AtacSeq(cache_dir=cache, **raw).cache_dir != same
    with pytest.raises(ValueError, match="AtacSeq needs genome=FILE and peaks=FILES_OR_FOLDER"):
        AtacSeq(cache_dir=cache)


def test_command_line(inputs, motifs, tmp_path, capsys):
    motifs.save(tmp_path / "motifs.safetensors")
    arguments = ["--genome", str(inputs["genome"]), "--output_dir", str(inputs["output_dir"])]
    arguments += ["--motifs", str(tmp_path / "motifs.safetensors"), "--peaks", *map(str, inputs["peaks"].iterdir())]
    arguments += ["--region_width", "10", "--num_regions", "4"]
    main([*arguments, "--validation_chromosomes", "chrB", "--held_out_cell_types", "beta"])
    assert "Windows: train 3, validation 1, train_unseen_cell_types 2" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="error: validation_chromosomes: no chrQ; there are chrA, chrB"):
        main([*arguments, "--validation_chromosomes", "chrQ", "chrB", "--overwrite"])
