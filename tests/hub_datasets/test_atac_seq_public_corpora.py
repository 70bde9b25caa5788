from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import datasets
import huggingface_hub
import numpy as np
import pytest

from hub_datasets.atac_seq import AtacSeqOptions, build_atac_seq, peak_matrix
from hub_datasets.atac_seq.peak_matrix import PeakMatrix
from hub_datasets.atac_seq.peak_sources import find_peaks
from hub_datasets.atac_seq.public_corpora import PUBLIC_CORPORA
from hub_datasets.downloads import fetch_source
from hub_datasets.files import read_line_blocks
from modeling_genebert.motifs_genebert import MotifBank


PEAKS = "chrA\t10\t20\nchrA\t50\t60\nchrB\t30\t40\n"
MATRIX = "%%MatrixMarket matrix coordinate pattern general\n%\n3 3 5\n1 1\n2 1\n2 2\n3 3\n1 3\n"
CELL_TYPES = "Fetal B\nT (adult)\nFetal A\n"


def write_matrix(folder, matrix=MATRIX, peaks=PEAKS, cell_types=CELL_TYPES):
    folder.mkdir(exist_ok=True)
    for name, text in [("matrix.tsv.gz", matrix), ("cCREs.bed.gz", peaks), ("celltypes.txt.gz", cell_types)]:
        (folder / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    return [folder / name for name in ("matrix.tsv.gz", "cCREs.bed.gz", "celltypes.txt.gz")]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "genebert_corpora" / "catlas"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server for the files in `tmp_path / "web"`, with byte ranges; yields the list of requests it had."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            file = tmp_path / "web" / self.path.strip("/")
            asked = self.headers.get("Range")
            requests.append((self.path.strip("/"), asked))
            content = file.read_bytes() if file.is_file() else b""
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
            self.send_response(404 if not file.is_file() else 416 if start >= len(content) else 206 if asked else 200)
            self.send_header("Content-Length", str(len(content) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(content[start:])

        def log_message(self, *_):
            pass

    # The tests as a whole run offline; this server is on the same machine.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, corpus in PUBLIC_CORPORA.items():
        urls = {file: f"http://127.0.0.1:{web.server_port}/{file}" for file in corpus.urls}
        monkeypatch.setitem(PUBLIC_CORPORA, name, replace(corpus, urls=urls))
    yield requests
    web.shutdown()
    web.server_close()


def test_the_table():
    for name, corpus in PUBLIC_CORPORA.items():
        assert corpus.name == name
        assert all(url.startswith("https://") and url.endswith(f"/{file}") for file, url in corpus.urls.items())
        assert all([corpus.description, corpus.genome_build, corpus.citation, corpus.licence, corpus.folder])
        assert set(corpus.cell_types) in (set(), set(corpus.urls))
    assert len(set(PUBLIC_CORPORA["encode_atac"].cell_types.values())) == 7


def test_download_once_and_check_ever_after(tmp_path, cache, server):
    sent = write_matrix(tmp_path / "web")
    files = fetch_source(PUBLIC_CORPORA["descartes_fetal"])
    assert [file.read_bytes() for file in files.values()] == [file.read_bytes() for file in sent]
    assert sorted(server) == [("cCREs.bed.gz", None), ("celltypes.txt.gz", None), ("matrix.tsv.gz", None)]
    recorded = json.loads((cache / "checksums.json").read_text())
    assert recorded == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sent}

    assert fetch_source(PUBLIC_CORPORA["catlas"]) == files
    assert len(server) == 3
    (cache / "cCREs.bed.gz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"cCREs.bed.gz: SHA-256 is \w{64}, expected \w{64} as at the first download"):
        fetch_source(PUBLIC_CORPORA["catlas"])
    (cache / "cCREs.bed.gz").unlink()
    assert fetch_source(PUBLIC_CORPORA["catlas"])["cCREs.bed.gz"].read_bytes() == sent[1].read_bytes()
    # The publisher gives out something else under the same name.
    (cache / "cCREs.bed.gz").unlink()
    sent[1].write_bytes(b"new version")
    with pytest.raises(ValueError, match=r"cCREs.bed.gz: SHA-256 is .* to accept a new version"):
        fetch_source(PUBLIC_CORPORA["catlas"])


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_an_interrupted_download_goes_on(tmp_path, cache, server, share):
    content = write_matrix(tmp_path / "web")[0].read_bytes()
    cache.mkdir(parents=True)
    have = int(share * len(content))
    (cache / "matrix.tsv.gz.incomplete").write_bytes(content[:have])
    assert fetch_source(PUBLIC_CORPORA["catlas"])["matrix.tsv.gz"].read_bytes() == content
    asked = [(name, range_) for name, range_ in server if name == "matrix.tsv.gz"]
    assert asked == [("matrix.tsv.gz", f"bytes={have}-")] + ([("matrix.tsv.gz", None)] if share == 1 else [])
    assert not (cache / "matrix.tsv.gz.incomplete").exists()


def test_what_cannot_be_downloaded(tmp_path, cache, server):
    write_matrix(tmp_path / "web")[1].unlink()
    with pytest.raises(
        ConnectionError, match=r"http://127.*cCREs.bed.gz: cannot be downloaded .* give it as source_dir"
    ):
        fetch_source(PUBLIC_CORPORA["catlas"])
    assert sorted(json.loads((cache / "checksums.json").read_text())) == ["matrix.tsv.gz"]


def test_from_a_folder(tmp_path, cache):
    sent = write_matrix(tmp_path / "here")
    corpus = PUBLIC_CORPORA["descartes_fetal"]
    assert list(fetch_source(corpus, tmp_path / "here").values()) == sent
    assert not cache.exists()
    (tmp_path / "here" / "checksums.json").write_text(json.dumps({"matrix.tsv.gz": "0" * 64}))
    with pytest.raises(ValueError, match=r"matrix.tsv.gz: SHA-256 is \w{64}, expected 0{64}"):
        fetch_source(corpus, tmp_path / "here")
    sent[2].unlink()
    with pytest.raises(
        FileNotFoundError, match=r"here: has no celltypes.txt.gz \(https://\S+\); put there what is at"
    ):
        fetch_source(corpus, tmp_path / "here")


def test_the_fetal_cell_types_by_name(tmp_path, cache):
    write_matrix(tmp_path / "here")
    found = find_peaks("descartes_fetal", AtacSeqOptions(), tmp_path / "here")
    assert list(found.sources) == ["Fetal A", "Fetal B"]
    assert found.sources["Fetal A"].read().start.tolist() == [10, 30]
    peaks = found.sources["Fetal B"].read()
    assert peaks.start.tolist() == [10, 50] and np.isnan(peaks.signal).all()
    assert list(found.files) == ["matrix.tsv.gz", "cCREs.bed.gz", "celltypes.txt.gz"]
    assert list(find_peaks(["catlas"], AtacSeqOptions(), tmp_path / "here").sources) == [
        "Fetal A",
        "Fetal B",
        "T (adult)",
    ]


def test_encode_by_name_from_the_download_to_the_set(tmp_path, cache, server, capsys):
    (tmp_path / "web").mkdir()
    (tmp_path / "genome.fa").write_text(">chrA\n" + "ACGT" * 50 + "\n")
    for number, file in enumerate(PUBLIC_CORPORA["encode_atac"].urls):
        line = f"chrA\t{20 + 10 * number}\t{40 + 10 * number}\t.\t0\t.\t5\t1\t1\t10\n"
        (tmp_path / "web" / file).write_bytes(gzip.compress(line.encode()))
    counts = np.array([[10 * (base == letter) for letter in "ACGT"] for base in "ACGT"], dtype=np.float32)
    info = build_atac_seq(
        genome=tmp_path / "genome.fa",
        peaks="encode_atac",
        output_dir=tmp_path / "out",
        motifs=MotifBank(["M1"], ["one"], ["f"], [counts]),
        region_width=10,
        num_regions=4,
    )
    assert info["cell_types"] == ["A549", "GM12878", "HCT116", "HepG2", "IMR-90", "K562", "MCF-7"]
    assert info["num_consensus_regions"] == 7
    assert info["corpus"]["name"] == "encode_atac"
    assert "encode_atac: ATAC-seq peaks of 7 human cell lines from ENCODE; licence: free" in capsys.readouterr().out
    assert info["metadata"]["K562"] == {"experiment": "ENCSR868FGK", "file": "ENCFF333TAT"}
    assert info["inputs"]["peaks"]["K562"]["file"] == "ENCFF333TAT.bed.gz"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| genome_build | hg38 / GRCh38 |" in card and "| K562 | ENCSR868FGK | ENCFF333TAT |" in card


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matrix": MATRIX.replace("3 3 5", "3 3 6")}, r"matrix.tsv.gz: 5 entries, expected 6; download it again"),
        (
            {"matrix": MATRIX.replace("3 3 5", "4 3 5")},
            r"a matrix of size \(4, 3, 5\), expected 3 peaks, 3 cell types",
        ),
        ({"matrix": MATRIX.replace("1 3\n", "4 3\n")}, r"an entry outside of the matrix of 3 x 3"),
        (
            {"matrix": MATRIX.replace("1 3\n", "x 3\n")},
            r"matrix.tsv.gz: not a Matrix Market file in coordinate format",
        ),
        ({"matrix": "<html>gone</html>\n"}, r"matrix.tsv.gz: a matrix of size"),
        ({"matrix": ""}, r"matrix.tsv.gz: a matrix of size None"),
        ({"cell_types": "a\nb\na\n"}, r"celltypes.txt.gz: 'a' comes twice"),
    ],
)
def test_bad_matrices(tmp_path, changes, message):
    files = write_matrix(tmp_path / "here", **changes)
    with pytest.raises(ValueError, match=message):
        PeakMatrix(*files).peaks("Fetal A")


def test_matrix_with_values_in_several_blocks(tmp_path, monkeypatch):
    entries = [(peak, cell_type) for peak in range(1, 41) for cell_type in (1, 2, 3) if peak % (cell_type + 1) == 0]
    text = f"%%MatrixMarket\n40 3 {len(entries)}\n" + "".join(f"{peak} {kind} 7\n" for peak, kind in entries)
    peaks = "".join(f"chrA\t{number}\t{number + 5}\n" for number in range(1, 41))
    monkeypatch.setattr(peak_matrix, "read_line_blocks", lambda path: read_line_blocks(path, block_size=40))
    matrix = PeakMatrix(*write_matrix(tmp_path / "here", text, peaks, "a\nb\nc\n"))
    for kind, name in enumerate("abc", start=1):
        assert matrix.peaks(name).start.tolist() == [number for number in range(1, 41) if number % (kind + 1) == 0]
