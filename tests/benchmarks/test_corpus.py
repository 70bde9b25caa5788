import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import corpus
from hub_datasets.genome import Genome
from hub_datasets.intervals import read_peaks
from modeling_genebert.motifs_genebert import MotifBank
from tests.running import ROOT


def test_hg19_is_whole():
    assert sum(corpus.HG19.values()) == 3_095_693_983


def test_random_genome(tmp_path):
    chromosomes = {"a": 60, "b": 61, "c": 7}
    corpus.write_random_genome(tmp_path / "genome.fa", chromosomes, np.random.default_rng(0))
    genome = Genome(tmp_path / "genome.fa")
    assert genome.chromosomes == chromosomes
    assert set("".join(genome.fetch(name, 0, length) for name, length in chromosomes.items())) == set("ACGT")
    assert max(len(line) for line in (tmp_path / "genome.fa").read_text().splitlines()) == 60


def test_simulated_peaks(tmp_path):
    chromosomes = {"a": 4_000_000, "b": 3_000_000}
    corpus.write_simulated_peaks(tmp_path / "peaks", 1000, chromosomes, np.random.default_rng(0))
    peaks = [read_peaks(file) for file in sorted((tmp_path / "peaks").iterdir())]
    assert len(peaks) == 13
    # As many peaks a place as the beta distribution says.
    assert sum(map(len, peaks)) == pytest.approx(1000 * 13 * 0.8 / 3, rel=0.1)
    assert set(peaks[0].chrom) == {"a", "b"}


def test_figures(monkeypatch):
    def measure(size, peaks, settings):
        regions = 400_000 if size == "given" else int(size)
        return {
            f"regions_{size}": regions,
            f"peaks_{size}": 5 * regions,
            f"seconds_{size}": regions / 1000,
            f"unshared_seconds_{size}": regions / 5000,
            f"cpu_seconds_{size}": 20 + (0 if size == "100" else regions**1.02),
            f"peak_rss_gb_{size}": 0.5 if size == "given" else 0.7,
        }

    monkeypatch.setattr(corpus, "measure_in_fresh_process", measure)
    figures = corpus.run([1000, 10_000, 100_000], None, {"num_workers": 2})
    assert figures["regions_per_second"] == pytest.approx(1000)
    assert figures["time_exponent"] == pytest.approx(1.02)
    assert figures["time_exponent_with_start"] < 1.02
    assert figures["peak_rss_gb"] == 0.7
    # 3.4 million regions: 3400 s, of which 680 are not shared.
    assert figures["hours_for_17m_2_cores"] == pytest.approx(3400 / 3600)
    assert figures["hours_for_17m_64_cores"] == pytest.approx((680 + 2720 / 32) / 3600)
    given = corpus.run([1000], "peaks", {"num_workers": 2})
    assert given["regions_given"] == 400_000 and given["hours_for_17m_2_cores"] == pytest.approx(3400 / 3600)
    assert "time_exponent" not in given


def test_report(tmp_path):
    MotifBank(["M1"], ["one"], ["f"], [np.full((4, 4), 2.0, np.float32) + 8 * np.eye(4, dtype=np.float32)]).save(
        tmp_path / "motifs.safetensors"
    )
    motifs = str(tmp_path / "motifs.safetensors")
    # In a process of its own: the memory that other tests took in this one would count, too.
    command = [sys.executable, "-m", "benchmarks.corpus", "--sizes", "200", "--num_workers", "1", "--motifs", motifs]
    command += ["--output_dir", str(tmp_path / "results")]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    report = json.loads((tmp_path / "results" / "corpus.json").read_text())
    assert json.loads(printed.splitlines()[-1]) == report
    assert report["name"] == "corpus"
    figures = report["figures"]
    assert 100 < figures["regions_200"] < 200 and figures["peaks_200"] > 500
    assert figures["regions_per_second"] == pytest.approx(figures["regions_200"] / figures["seconds_200"])
    assert 0.1 < figures["peak_rss_gb"] < 2
    assert 0 < figures["unshared_seconds_200"] < figures["seconds_200"]
