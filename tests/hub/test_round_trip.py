"""The whole round through the Hub: pre-train, push, open as a stranger, fine-tune, push, predict the same elsewhere.

Each step is a process with an empty cache. Those without a note in capitals have never seen the package: whatever code
they run comes from the Hub.
"""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from datasets import load_dataset

from examples.push_to_hub import check_run

from .checks import check_no_pickles, check_no_places


DNA = ["ATTGCCATTGCAACGTTACGATCAGC", "CCGTANNCGATTGCATTACGGATC"]
REGIONS = {"regions": ["ATTGCAT", "GGCATTACG", "TTTACG"], "positions": [10, 500, 900], "accessibility": [0.2, 0.5, 1]}
SPLITS = {"train": 24, "validation": 12, "test": 8}

# 1. WITH THE PACKAGE: what a lab has made goes to the Hub, each in its own way.
PUSH = """
import sys
import datasets
from examples.export_bert import export_bert
from examples.push_to_hub import main
pretrained, atac, tables, model_id, bert_id, atac_id, table_id = sys.argv[1:]
main(["--folder", pretrained, "--repo_id", model_id])
export_bert(pretrained, "bert")
main(["--folder", "bert", "--repo_id", bert_id])
main(["--folder", atac, "--repo_id", atac_id, "--dataset"])
rows = datasets.load_dataset("csv", data_files={split: f"{tables}/{split}.csv" for split in SPLITS})
rows = rows.cast_column("label", datasets.ClassLabel(names=["other", "promoter"]))
rows.push_to_hub(table_id)
"""

# 2. A stranger opens the model by all Auto classes, fine-tunes it on the data set, and pushes it.
STRANGER = """
import json, sys
import torch, transformers
from datasets import load_dataset
from transformers.dynamic_module_utils import get_class_from_dynamic_module
model_id, bert_id, table_id, tuned_id = sys.argv[1:]
trust = {"trust_remote_code": True}
for name in ("AutoConfig", "AutoTokenizer", "AutoFeatureExtractor", "AutoProcessor", "AutoModelForPreTraining",
             "AutoModelForMaskedLM", "AutoModelForTokenClassification"):
    found = getattr(transformers, name).from_pretrained(model_id, **trust)
    assert type(found).__module__.startswith("transformers_modules."), type(found)

# The road without custom code gives the same.
base = transformers.AutoModel.from_pretrained(model_id, **trust).eval()
processor = transformers.AutoProcessor.from_pretrained(model_id, **trust)

# transformers has no Auto class for the effect of variants.
variant_class = get_class_from_dynamic_module("modeling_genebert.GeneBertForVariantEffect", model_id)
variants = variant_class.from_pretrained(model_id, num_labels=1).eval()
alleles = processor(DNA[:1], alt_sequences=[DNA[0][:9] + "A" + DNA[0][10:]], return_tensors="pt")
assert variants(**alleles).logits.shape == (1, 1)
bert = transformers.AutoModel.from_pretrained(bert_id, add_pooling_layer=False).eval()
tokenizer = transformers.AutoTokenizer.from_pretrained(bert_id)
assert (type(bert).__name__, type(tokenizer).__module__.split(".")[0]) == ("BertModel", "transformers")
tokens, own = (t(DNA, padding=True, return_tensors="pt") for t in (tokenizer, processor.tokenizer))
assert all(torch.equal(tokens[name], own[name]) for name in own)
with torch.no_grad():
    torch.testing.assert_close(
        bert(**tokens).last_hidden_state, base.get_sequence_features(**own).last_hidden_state, atol=1e-6, rtol=0
    )

rows = load_dataset(table_id, split="train")
model = transformers.AutoModelForSequenceClassification.from_pretrained(model_id, num_labels=2, **trust).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for first in range(0, len(rows), 8):
    batch = rows[first : first + 8]
    inputs = processor(batch["sequence"], padding=True, return_tensors="pt")
    model(**inputs, labels=torch.tensor(batch["label"])).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
model.push_to_hub(tuned_id)
processor.push_to_hub(tuned_id)
regions = {name: [values] * 2 for name, values in REGIONS.items()}
with torch.no_grad():
    inputs = [processor(DNA, padding=True, return_tensors="pt", **options) for options in ({}, regions)]
    print(json.dumps([model.eval()(**batch).logits.tolist() for batch in inputs]))
    print(json.dumps(base(**inputs[1]).region_pooler_output.tolist()))
"""

# 3. WITH THE PACKAGE, which needs no trust: the pushed model gives what the stranger got; the example fine-tunes it on
# the pushed data set, and pushes its run.
FINETUNE = """
import json, sys
import torch
from examples import finetune
from transformers import AutoModel, AutoProcessor
model_id, table_id, run_id, expected = sys.argv[1:]
processor, model = AutoProcessor.from_pretrained(model_id), AutoModel.from_pretrained(model_id).eval()
assert type(model).__module__ == "modeling_genebert.modeling_genebert"
regions = {name: [values] * 2 for name, values in REGIONS.items()}
with torch.no_grad():
    found = model(**processor(DNA, padding=True, return_tensors="pt", **regions)).region_pooler_output
torch.testing.assert_close(found, torch.tensor(json.loads(expected)), atol=1e-6, rtol=0)
finetune.main([
    "--model_name_or_path", model_id, "--dataset_name_or_path", table_id, "--output_dir", "run", "--max_steps", "2",
    "--num_bootstrap", "20", "--per_device_train_batch_size", "8", "--use_cpu", "True", "--disable_tqdm", "True",
    "--report_to", "none", "--push_to_hub", "--hub_model_id", run_id, "--hub_strategy", "every_save",
])
"""

# 4. Another stranger gets the same numbers from what was pushed, reads the card, and loads the data sets.
THIRD = """
import csv, json, sys
import numpy as np, torch
from datasets import load_dataset
from huggingface_hub import DatasetCard, HfApi, ModelCard, hf_hub_download
from transformers import AutoModelForSequenceClassification, AutoProcessor, pipeline
model_id, tuned_id, run_id, atac_id, table_id, *expected = sys.argv[1:]
trust = {"trust_remote_code": True}
expected, counts = map(json.loads, expected)
processor = AutoProcessor.from_pretrained(tuned_id, **trust)
model = AutoModelForSequenceClassification.from_pretrained(tuned_id, **trust).eval()
regions = {name: [values] * 2 for name, values in REGIONS.items()}
with torch.no_grad():
    inputs = [processor(DNA, padding=True, return_tensors="pt", **options) for options in ({}, regions)]
    np.testing.assert_allclose([model(**batch).logits.tolist() for batch in inputs], expected, atol=1e-6)
classify = pipeline("dna-classification", model=tuned_id, **trust)
for example, logits in ((DNA[0], expected[0][0]), ({"sequence": DNA[0], **REGIONS}, expected[1][0])):
    scores = {entry["label"]: entry["score"] for entry in classify(example)}
    np.testing.assert_allclose([scores["LABEL_0"], scores["LABEL_1"]], torch.tensor(logits).softmax(0), atol=1e-6)
ordinary = pipeline("text-classification", model=tuned_id, **trust)(DNA[0])
assert set(ordinary[0]) == {"label", "score"}, ordinary

# Of the run of the example: the predictions that it left, and the figures on its card.
with open(hf_hub_download(run_id, "test_predictions.csv")) as file:
    predicted = [float(row["probability_promoter"]) for row in csv.DictReader(file)]
rows = load_dataset(table_id)
assert {name: len(split) for name, split in rows.items()} == SPLITS, rows
assert rows["train"].features["label"].names == ["other", "promoter"]
classify = pipeline("dna-classification", model=run_id, **trust)
found = [{e["label"]: e["score"] for e in classify(sequence)}["promoter"] for sequence in rows["test"]["sequence"]]
np.testing.assert_allclose(found, predicted, atol=1e-5)
assert sum(1 for _ in load_dataset(table_id, split="test", streaming=True)) == SPLITS["test"]

# The cards, read back: figures with their intervals, and what was trained on what.
def read_back(repo_id):
    with open(hf_hub_download(repo_id, "all_results.json")) as file:
        return ModelCard.load(repo_id), json.load(file)

def check_figure(result, results, name):
    values = [result.metric_value, result.metric_args["low"], result.metric_args["high"]]
    np.testing.assert_allclose(values, [results[name], results[name + "_low"], results[name + "_high"]], atol=1e-6)

card, results = read_back(run_id)
figures = {(r.dataset_split, r.metric_type): r for r in card.data.eval_results}
check_figure(figures["test", "accuracy"], results, "test_accuracy")
assert (card.data.base_model, card.data.datasets) == (model_id, [table_id]), card.data
revision = HfApi().dataset_info(table_id).sha
assert figures["test", "accuracy"].dataset_revision == revision and f"commit `{revision}`" in card.text
assert f'AutoModelForSequenceClassification.from_pretrained("{run_id}")' in card.text
card, results = read_back(model_id)
figures = {(r.dataset_config, r.metric_name): r for r in card.data.eval_results}
figure = figures["unseen cell types", "SRM other locus visible AUROC"]
check_figure(figure, results, "eval_unseen_srm_other_locus_visible_auroc")
assert "## Limits" in card.text and "| process-hours |" in card.text and "SHA-256" in card.text
assert DatasetCard.load(atac_id).data.license == "unknown"

# The pre-training set, whole and as a stream.
for config, splits in counts.items():
    assert {name: len(split) for name, split in load_dataset(atac_id, config).items()} == splits, config
    for name, count in splits.items():
        streamed = load_dataset(atac_id, config, split=name, streaming=True)
        assert sum(1 for _ in streamed) == count, (config, name)
"""


def constants(*names):
    """Their definitions, to go before a script."""
    return "".join(f"{name} = {globals()[name]!r}\n" for name in names)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """CSV files of sequences of 40 bp, half of them with a TATA box."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    for split, count in SPLITS.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["sequence", "label"])
            for number in range(count):
                dna = "".join(rng.choice(list("ACGT"), 40))
                writer.writerow([dna[:17] + "TATAAA" + dna[23:] if number % 2 else dna, number % 2])
    return folder


def test_round_trip(hub, new_client, new_repository, pretrained, atac_folder, tables, tmp_path):
    model_id, bert_id, tuned_id, run_id = (new_repository(name) for name in ("model", "bert", "tuned", "run"))
    atac_id, table_id = new_repository("atac", "dataset"), new_repository("table", "dataset")
    ids = (model_id, bert_id, atac_id, table_id)
    new_client().run(constants("SPLITS") + PUSH, pretrained, atac_folder, tables, *ids, with_packages=True)
    printed = new_client().run(constants("DNA", "REGIONS") + STRANGER, model_id, bert_id, table_id, tuned_id)
    logits, embeddings = printed.splitlines()[-2:]
    finetune = constants("DNA", "REGIONS") + FINETUNE
    new_client().run(finetune, model_id, table_id, run_id, embeddings, with_packages=True)
    counts = {
        config: {
            split: rows.num_rows
            for split, rows in load_dataset(str(atac_folder), config, cache_dir=str(tmp_path / "cache")).items()
        }
        for config in ("windows", "regions")
    }
    third = new_client(token=None)
    arguments = (model_id, tuned_id, run_id, atac_id, table_id, logits, json.dumps(counts))
    third.run(constants("DNA", "REGIONS", "SPLITS") + THIRD, *arguments)

    if hub.server is not None:
        models, datasets = (model_id, bert_id, tuned_id, run_id), (atac_id, table_id)
        keys = [("model", repo_id) for repo_id in models] + [("dataset", repo_id) for repo_id in datasets]
        for repository in (hub.server.repositories[key] for key in keys):  # not what other tests left on this server
            check_no_pickles(repository)
            check_no_places(repository, secrets=hub.server.tokens)
        titles = [commit.title for commit in hub.server.repositories["model", run_id].commits.values()]
        assert "Training in progress, step 2" in titles
        assert "End of training" in titles
        for repo_id in (model_id, tuned_id, run_id):
            folder = tmp_path / repo_id.replace("/", "-")
            repository = hub.server.repositories["model", repo_id]
            for path in repository.commit_of("main").files:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(repository.content(path))
            check_run(folder)  # also of what was pushed by a process without the package
