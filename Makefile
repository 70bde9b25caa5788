# Each target does all of its own set-up: python3 (>= 3.10) and make are enough.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
OUTPUT_DIR ?= runs/demo
# Of the reference checkpoint: hg19, and peak files of blood cell types (Corces et al. 2016).
GENOME ?= hg19.fa.gz
PEAKS ?= blood_atac
UNSEEN ?= Mono mDC
BLOOD_DIR ?= runs/genebert-blood

$(VENV)/installed: setup.py $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --constraint $(CONSTRAINTS) --editable ".[all]"
	touch $@

.PHONY: install pretrain blood reference test test-transformers lint clean

install: $(VENV)/installed

## Pre-train on the simulated atlas, then open the checkpoint in a fresh process and say what it can do.
pretrain: install
	$(VENV)/bin/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
		examples/pretrain.py --output_dir $(OUTPUT_DIR) --max_train_steps 300 --learning_rate 1e-3 \
		--max_eval_windows 400 --resume_from_checkpoint latest
	cd / && $(abspath $(VENV))/bin/python $(abspath examples/use_checkpoint.py) \
		--model_name_or_path $(abspath $(OUTPUT_DIR))

## Pre-train on blood cell types but the UNSEEN, 80 minutes on one core: make blood UNSEEN="CD4 CD8" BLOOD_DIR=runs/cd4_cd8
blood: install
	$(VENV)/bin/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
		examples/pretrain.py --genome $(GENOME) --peaks $(PEAKS) --eval_chromosomes chr20 chr22 \
		--eval_cell_types $(UNSEEN) --num_background 40000 --background_fraction 0.1 \
		--ngsp_fraction 0.15 --hard_negative_fraction 0.3 --hidden_fraction 0.35 \
		--model_preset compact --config_overrides '{"pooling": "mean"}' --dropout 0.0 \
		--per_device_train_batch_size 64 --learning_rate 1e-3 --weight_decay 0.05 \
		--max_train_steps 3600 --eval_steps 600 --num_cpu_threads 1 \
		--output_dir $(BLOOD_DIR) --resume_from_checkpoint latest

## Train the checkpoint in checkpoints/genebert-blood again.
reference: blood
	mkdir -p checkpoints/genebert-blood
	cd $(BLOOD_DIR) && cp README.md *.png *.safetensors all_results.json config.json processor_config.json \
		tokenizer.json tokenizer_config.json training_args.json $(abspath checkpoints/genebert-blood)

test: install
	$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile

## transformers' own common tests, from its source distribution (downloaded; said and left out where it cannot be).
test-transformers: install
	$(VENV)/bin/python -m tests.transformers_common --skip_if_offline --numprocesses auto --dist worksteal

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) runs build dist *.egg-info
