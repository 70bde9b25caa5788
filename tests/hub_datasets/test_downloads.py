"""Public sources; downloads from a server are tested in test_atac_seq_public_corpora.py."""

from __future__ import annotations

import hashlib
import json

import datasets
import pytest

from hub_datasets import downloads
from hub_datasets.downloads import PublicSource, fetch_source
from hub_datasets.promoters.public_sources import PUBLIC_PROMOTERS
from hub_datasets.task_card import public_source


SOURCE = PublicSource(
    name="x",
    description="Things",
    genome_build="hg38",
    citation="Someone (2020)",
    licence="CC BY 4.0",
    folder="x",
    urls={"a.bed": "https://example.org/a.bed"},
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "genebert_corpora" / "x"


def test_checksum_is_recorded_at_the_first_download(cache, monkeypatch):
    asked = []

    def http_get(url, stream, **_):
        asked.append(url)
        stream.write(b"content")

    monkeypatch.setattr(downloads, "http_get", http_get)
    file = fetch_source(SOURCE)["a.bed"]
    assert file.read_bytes() == b"content" and asked == ["https://example.org/a.bed"]
    assert json.loads((cache / "checksums.json").read_text()) == {"a.bed": hashlib.sha256(b"content").hexdigest()}
    fetch_source(SOURCE)
    assert len(asked) == 1
    file.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"a.bed: SHA-256 is \w{64}, expected \w{64} as at the first download"):
        fetch_source(SOURCE)


def test_no_network(cache, monkeypatch):
    def http_get(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(downloads, "http_get", http_get)
    message = r"https://example.org/a.bed: cannot be downloaded \(no route to host\); .* give it as source_dir"
    with pytest.raises(ConnectionError, match=message):
        fetch_source(SOURCE)


def test_from_a_folder(tmp_path, cache):
    with pytest.raises(FileNotFoundError, match=r"has no a.bed \(https://example.org/a.bed\); put there what is at"):
        fetch_source(SOURCE, tmp_path)
    (tmp_path / "a.bed").write_bytes(b"content")
    assert fetch_source(SOURCE, tmp_path) == {"a.bed": tmp_path / "a.bed"}
    assert not cache.exists()


def test_what_a_card_says():
    assert public_source(SOURCE) == ("Things; Someone (2020)", "https://example.org/a.bed", "CC BY 4.0")
    for name, source in PUBLIC_PROMOTERS.items():
        assert source.name == name
        assert all(url.startswith("https://") and url.endswith(f"/{file}") for file, url in source.urls.items())
        assert "not verified: that the server still has the file" in public_source(source)[2]
