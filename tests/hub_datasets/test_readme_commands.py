"""Every command in the READMEs of the data sets runs, on the simulated atlas; and so does what their cards show."""

from __future__ import annotations

import gzip
import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch
from datasets import load_dataset

import hub_datasets
from examples.predict import main as predict
from hub_datasets.genome import Genome
from modeling_genebert import AutoModelForVariantEffect, GeneBertProcessor


FOLDER = Path(hub_datasets.__file__).parent


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands_of(readme):
    lines = "\n".join(blocks(readme.read_text(encoding="utf-8"), "bash")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip()]


COMMANDS = {readme.parent.name: commands_of(readme) for readme in sorted(FOLDER.glob("*/README.md"))}
# What stands for the READMEs' names on the small atlas, which has chr1 to chr3 and sim01 to sim04.
NAMES = {"chr8": "chr2", "chr20": "chr2", "chr9": "chr3", "chr10": "", "chr21": "chr3", "chr22": "chr3"}
NAMES |= {"Mono": "sim03", "mDC": "sim04", "HepG2": "sim04", "JASPAR2026": "motifs.safetensors"}
# Promoters lie on two of the chromosomes alone.
NAMES_OF_PROMOTERS = {**NAMES, "chr20": "chr3", "--test_chromosomes": "", "chr21": "", "chr22": "", "motif": "none"}
NAMES_OF_PROMOTERS["epdnew_human"] = "promoters.bed --tss_position centre --min_tss_distance 300"
SMALL_ATLAS = "--num_chromosomes 2 --chromosome_length 60000 --num_cell_types 3 --num_motifs 32 --num_variants 0"


def run(command, names=NAMES):
    """A command of a README, in this process."""
    command, *_ = command.split(" #")
    words = shlex.split(" ".join(names.get(word, word) for word in shlex.split(command)))
    if words[:2] == ["python", "examples/predict.py"]:
        predict(words[2:])
        return
    assert words[:2] == ["python", "-m"], command
    package = words[2] if (FOLDER.parent / words[2].replace(".", "/")).with_suffix(".py").exists() else None
    importlib.import_module(package or f"{words[2]}.__main__").main(words[3:])


def write_gue(folder, genome):
    folder.mkdir(parents=True)
    for number, split in enumerate(("train", "dev", "test")):
        rows = [(genome.fetch(f"chr{number + 1}", at, at + 70), at // 100 % 2) for at in range(20_000, 21_000, 100)]
        (folder / f"{split}.csv").write_text("sequence,label\n" + "".join(f"{dna},{label}\n" for dna, label in rows))


def write_variants(folder, genome):
    """`clinvar.vcf.gz`, and a cohort of four persons."""
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    lines, cohort = [header], [header + "\tFORMAT\tp1\tp2\tp3\tp4"]
    for chrom in ("chr1", "chr2", "chr3"):
        for number, position in enumerate(range(20_000, 28_000, 1000)):
            ref = genome.fetch(chrom, position, position + 1)
            line = f"{chrom}\t{position + 1}\t.\t{ref}\t{'C' if ref == 'A' else 'A'}\t.\t.\t"
            lines.append(f"{line}CLNSIG={'Benign' if number % 2 else 'Pathogenic'}")
            cohort.append(f"{line}.\tGT\t{'0/1' if number % 2 else '0/0'}\t1/1\t0/0\t./.")
    for name, rows in (("clinvar.vcf.gz", lines), ("cohort.vcf.gz", cohort)):
        (folder / name).write_bytes(gzip.compress(("\n".join(rows) + "\n").encode()))
    (folder / "labels.csv").write_text("sample,label\np1,case\np2,case\np3,control\np4,control\n")


@pytest.fixture
def inputs(atlas_folder, tmp_path, monkeypatch):
    """The files that the READMEs name, in the working folder."""
    genome = Genome(atlas_folder / "genome.fa")
    packed = gzip.compress((atlas_folder / "genome.fa").read_bytes(), 1)
    for name in ("genome.fa.gz", "hg38.fa.gz"):
        (tmp_path / name).write_bytes(packed)
    for name in ("genome.fa", "genes.gtf", "promoters.bed", "peaks", "tf_binding", "motifs.safetensors"):
        (tmp_path / name).symlink_to(atlas_folder / name)
    for name in ("prom/prom_core_all", "tf/0"):
        write_gue(tmp_path / "GUE" / name, genome)
    write_variants(tmp_path, genome)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_card(folder):
    """The snippet of a card runs where the data set lies."""
    (snippet,) = blocks((folder / "README.md").read_text(), "python")
    loads = re.findall(r'load_dataset\("[^"]+"', snippet)
    assert loads
    for load in loads:
        snippet = snippet.replace(load, f'load_dataset("{folder}"')
    exec(compile(snippet, "README.md", "exec"), {})


def test_readmes_are_known():
    numbers = {name: len(commands) for name, commands in COMMANDS.items()}
    expected = {"atac_seq": 1, "disease_risk": 3, "promoters": 2, "simulated_atlas": 1, "splice_sites": 1}
    assert numbers == {**expected, "tf_binding_sites": 3}


def test_atac_seq(inputs):
    run(COMMANDS["atac_seq"][0])
    assert len(load_dataset(str(inputs / "OUT"), split="train")) > 0


def test_simulated_atlas(inputs):
    run(f"{COMMANDS['simulated_atlas'][0]} {SMALL_ATLAS}")
    (snippet,) = blocks((FOLDER / "simulated_atlas" / "README.md").read_text(), "python")
    names: dict = {}
    exec(snippet.replace('simulate_atlas("atlas", seed=0)\n', ""), names)  # the command has written it
    assert names["logits"].shape == (1, 3)


def test_promoters(inputs):
    genomic, gue = COMMANDS["promoters"]
    run(genomic, NAMES_OF_PROMOTERS)
    assert set(load_dataset(str(inputs / "OUT"), "core_all")) == {"train", "validation"}
    check_card(inputs / "OUT")
    run(gue.replace("OUT", "GUE_OUT"))
    assert set(load_dataset(str(inputs / "GUE_OUT"), "core_all")) == {"train", "validation", "test"}


def test_splice_sites(inputs):
    run(COMMANDS["splice_sites"][0])
    for config in ("sequences", "per_base"):
        assert len(load_dataset(str(inputs / "OUT"), config, split="test")) > 0
    check_card(inputs / "OUT")


def test_tf_binding_sites(inputs, atac_folder):
    (inputs / "ATLAS").symlink_to(atac_folder)
    chip_seq, with_context, gue = COMMANDS["tf_binding_sites"]
    run(chip_seq)
    check_card(inputs / "OUT")
    run(with_context.replace("OUT", "CONTEXT"))
    assert "region_ids" in load_dataset(str(inputs / "CONTEXT"), "multi_label", split="train").column_names
    run(gue.replace("OUT", "GUE_OUT"))
    assert len(load_dataset(str(inputs / "GUE_OUT"), "tf_0", split="test")) == 10


def test_disease_risk(inputs, pretrained):
    build, score, burden = COMMANDS["disease_risk"]
    run(build)
    assert len(load_dataset(str(inputs / "OUT"), split="test")) == 8
    check_card(inputs / "OUT")
    torch.manual_seed(0)
    model = AutoModelForVariantEffect.from_pretrained(pretrained, num_labels=1)
    model.save_pretrained(inputs / "runs" / "risk")
    GeneBertProcessor.from_pretrained(pretrained).save_pretrained(inputs / "runs" / "risk")
    run(score)
    assert len((inputs / "effects.csv").read_text().splitlines()) == 25
    run(burden)
    assert [line.split(",")[0] for line in (inputs / "burden.csv").read_text().splitlines()] == [
        *("sample", "p1", "p2", "p3", "p4")
    ]
