"""The page in a real browser: Debian's chromium, headless, driven by playwright."""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard

from examples.prediction.records import Record
from examples.space.analysis import open_checkpoint, region_matrix
from tests.examples.predicting import checkpoints, dna  # noqa: F401  # a fixture
from tests.running import ROOT, quick_python


sync_api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright: pip install it")
app = pytest.importorskip("examples.space.app", reason="the page needs gradio: pip install genebert[space]")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name)) is not None), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = 300  # seconds, for a machine with much else to do

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser, expected one of {', '.join(BROWSERS)}; see tests/install_chromium.sh"
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def address(checkpoints, tmp_path_factory):  # noqa: F811
    """Where the page is, with the checkpoints `promoter` and `masked` to choose from."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    log = folder / "log.txt"
    environment = {
        **os.environ,
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    names = [str(checkpoints["promoter"]), str(checkpoints["masked"])]
    command = [*quick_python(), str(ROOT / "examples" / "space" / "app.py"), "--model_name_or_path", *names]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + PATIENCE
        while "Running on local URL" not in log.read_text():
            assert server.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(address, browser):
    """The page, freshly opened; nothing that it asks of other machines is answered, or may be asked."""
    elsewhere = []

    def answer(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context = browser.new_context(accept_downloads=True)
    context.route("**/*", answer)
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(address)
    yield page
    context.close()
    assert elsewhere == []


def press(page, text):
    page.locator("#sequence textarea").fill(text)
    page.locator("#predict").click()


def wait_for_status(page, text):
    sync_api.expect(page.locator("#status")).to_contain_text(text, timeout=1000 * PATIENCE)


def cells(page):
    """The table of predictions as it is shown, without its header."""
    shown = page.locator("#table [data-row][data-col]")
    shown.first.wait_for()
    rows = {}
    for cell in shown.all():
        rows.setdefault(int(cell.get_attribute("data-row")), []).append(cell.inner_text().strip())
    return [rows[number] for number in sorted(rows)]


def picture(page, name):
    """The address of a picture, once it is drawn."""
    image = page.locator(f"#{name} img")
    image.wait_for()
    page.wait_for_function(f"document.querySelector('#{name} img').naturalWidth > 500")
    return image.get_attribute("src")


def download(page, name):
    with page.expect_download() as expected:
        page.locator(f"#download-{name}").click()
    with Path(expected.value.path()).open(newline="") as stream:
        return list(csv.DictReader(stream))


def choose(page, name, text):
    page.locator(f"#{name} input").click()
    page.get_by_role("option", name=text, exact=True).click()


@needs_browser
def test_a_sequence(page, checkpoints):  # noqa: F811
    sequence = dna(36)
    checkpoint = open_checkpoint(str(checkpoints["promoter"]))
    wait_for_status(page, "Paste a sequence and press Predict.")
    assert not page.locator("#results").is_visible()
    press(page, sequence)
    wait_for_status(page, "1 sequence. Probabilities of each sequence: no, yes.")
    picture(page, "matrix")
    picture(page, "logo")

    (row,) = download(page, "predictions")
    assert list(row) == ["id", "prediction", "probability_no", "probability_yes"]
    logits = checkpoint.logits([sequence])
    probability = checkpoint.predictor.probabilities(logits)[0, 1]
    assert row["id"] == "sequence"
    assert float(row["probability_yes"]) == pytest.approx(probability, abs=1e-5)
    assert cells(page)[0][:2] == ["sequence", row["prediction"]]
    assert float(cells(page)[0][3]) == pytest.approx(probability, abs=1e-3)

    importance = download(page, "importance")
    assert "".join(base["base"] for base in importance) == sequence
    changed = checkpoint.logits([f"{sequence[:7]}G{sequence[8:]}"])
    assert sequence[7] != "G"
    expected = (changed[0, 1] - changed[0, 0]) - (logits[0, 1] - logits[0, 0])
    assert float(importance[7]["change_G"]) == pytest.approx(expected, abs=1e-4)

    motifs = download(page, "matrix")
    assert [motif["name"] for motif in motifs] == [f"TF{number}" for number in range(20)]
    best = region_matrix(checkpoint.processor, sequence).bits
    assert float(motifs[3]["best_bits"]) == pytest.approx(float(best[3]), rel=1e-4)


@needs_browser
def test_two_records_and_the_label_to_explain(page):
    press(page, f">first\n{dna(20)}\n>second\n{dna(31)}\n>third\nMKVLAT")
    wait_for_status(page, "2 sequences.")
    wait_for_status(page, "1 left out (letters that are not DNA): pasted.fa:5: record 'third' has 'L'")
    assert [row[0] for row in cells(page)] == ["first", "second"]
    first = picture(page, "logo")
    assert len(download(page, "importance")) == 20
    choose(page, "record", "second")
    page.wait_for_function("before => document.querySelector('#logo img').src !== before", arg=first)
    assert len(download(page, "importance")) == 31
    explained = download(page, "importance")
    page.get_by_text("the log-odds of yes falls").wait_for()
    choose(page, "label", "no")
    page.get_by_text("the log-odds of no falls").wait_for()
    for one, other in zip(explained, download(page, "importance"), strict=True):
        assert float(one["importance"]) == pytest.approx(-float(other["importance"]), abs=1e-5)


@needs_browser
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "No sequence: paste DNA or FASTA, or upload a FASTA file"),
        (
            "MKVLAT<b>",
            "Nothing to predict: 1 left out (letters that are not DNA): pasted.fa:1: record 'sequence' has 'L'",
        ),
        ("AC", "sequence has 2 bp, expected at least 3 bp (one 3-mer)"),
        ("ACGT" * 20, "sequence has 80 bp, expected at most 40 bp: paste a part of it"),
        (">one\nACGT\n>one\nACGA", "several records are called 'one'"),
        (">\nACGT", "record without a name"),
    ],
)
def test_bad_input(page, text, message):
    press(page, text)
    alert = page.get_by_role("alert")
    sync_api.expect(alert).to_contain_text(message, timeout=1000 * PATIENCE)
    assert not page.locator("#results").is_visible()


@needs_browser
def test_after_an_error_it_goes_on(page, checkpoints, tmp_path):  # noqa: F811
    page.locator("#checkpoint input").fill("lab/missing")
    page.locator("#checkpoint input").press("Enter")
    press(page, "ACGTACGT")
    wait_for_status(page, "No checkpoint 'lab/missing': neither a folder nor found on the Hub")
    page.locator("#checkpoint input").fill(str(checkpoints["masked"]))
    page.locator("#checkpoint input").press("Enter")
    page.locator("#sequence textarea").fill("")
    (tmp_path / "some.fa").write_text(f">uploaded\n{dna(24)}\n")
    page.locator("#file input[type=file]").set_input_files(tmp_path / "some.fa")
    page.locator("#file").get_by_text("some").first.wait_for()
    page.locator("#predict").click()
    wait_for_status(page, "1 sequence. Hidden bases, each from the rest of its sequence (guessing: -1.386 nats a base")
    assert page.get_by_role("alert").count() == 0
    picture(page, "logo")
    (row,) = download(page, "predictions")
    assert row["id"] == "uploaded"
    assert float(row["perplexity"]) > 1
    assert {"change_T", "probability_T"} <= set(download(page, "importance")[0])


def test_a_checkpoint_that_is_not_there():
    with pytest.raises(SystemExit, match="No checkpoint 'lab/missing': neither a folder nor found on the Hub"):
        app.main(["--model_name_or_path", "lab/missing"])


def test_sequences_that_are_too_long_to_explain(checkpoints, monkeypatch):  # noqa: F811
    monkeypatch.setattr(app, "LONGEST_EXPLAINED", 35)
    page, name = app.Page([]), str(checkpoints["promoter"])
    records = [Record("", {"id": "long"}, dna(36)), Record("", {"id": "short"}, dna(35))]
    results = app.Results(name, records, app.opened(name).predict(records))
    (shown,) = page.show(results, "long", "yes", lambda *args, **kwargs: None)
    assert shown[page.logo_title] == "Left out: 36 bp, at most 35 bp are mutated."
    (shown,) = page.show(results, "short", "yes", lambda *args, **kwargs: None)
    assert shown[page.logo_title].startswith("Each base is changed to the three others.")


def test_checkpoints_of_a_space(monkeypatch):
    monkeypatch.setenv("GENEBERT_CHECKPOINT", "lab/promoters lab/splice")
    assert app.parse_args([]).model_name_or_path == ["lab/promoters", "lab/splice"]
    assert app.parse_args(["--model_name_or_path", "runs/demo"]).model_name_or_path == ["runs/demo"]


def test_it_is_laid_out_as_a_space():
    folder = ROOT / "examples" / "space"
    card = SpaceCard.load(folder / "README.md")
    assert card.data.sdk == "gradio"
    assert (ROOT / card.data.app_file).samefile(folder / "app.py")
    assert len(card.data.short_description) <= 60
    assert f"gradio=={card.data.sdk_version}" in (ROOT / "constraints.txt").read_text().splitlines()
