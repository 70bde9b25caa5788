"""GeneBERT: multi-modal self-supervised pre-training for the regulatory genome across cell types."""

from pathlib import Path

from setuptools import setup


EXTRAS = {
    "motifs": ["pyjaspar>=4.0", "numba>=0.60"],
    "datasets": ["datasets>=5.0", "pyarrow>=21", "tqdm"],
    "inputs": ["anndata>=0.11.2"],
    "cluster": ["dask[distributed]>=2024.1"],
    "plots": ["matplotlib>=3.8", "scipy>=1.11"],
    "pretrain": ["accelerate>=1.10"],
    "finetune": ["accelerate>=1.10", "evaluate>=0.4.6", "scikit-learn>=1.4", "scipy>=1.11"],
    "trackers": ["tensorboard>=2.16"],
    "lora": ["peft>=0.19.1"],
    "quantization": ["bitsandbytes>=0.49", "accelerate>=1.10"],
    "onnx": ["onnx>=1.17", "onnxscript>=0.7", "onnxruntime>=1.20"],
    "space": ["gradio>=6.6", "logomaker>=0.8.6", "matplotlib>=3.8", "pyarrow>=21"],
}
EXTRAS["test"] = [
    *("pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100", "parameterized>=0.9"),
    *("pyfaidx>=0.8", "pysam>=0.22", "pillow>=10", "playwright>=1.50"),
]
EXTRAS["benchmarks"] = ["lightmotif>=0.10", "memelite>=0.5", "MOODS-python>=1.9.4"]
EXTRAS["dev"] = ["ruff>=0.11", "mypy>=1.15"]
EXTRAS["all"] = sorted({package for packages in EXTRAS.values() for package in packages})

DATASETS = ("simulated_atlas", "atac_seq", "promoters", "tf_binding_sites", "splice_sites", "disease_risk")

setup(
    name="genebert",
    version="0.1.0",
    description=__doc__,
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=["modeling_genebert", "hub_datasets", *(f"hub_datasets.{name}" for name in DATASETS)],
    package_data={"modeling_genebert": ["py.typed"], "hub_datasets": ["*/README.md"]},
    install_requires=["torch>=2.6", "transformers>=5.17", "numpy>=1.26", "safetensors>=0.5", "huggingface_hub>=1.0"],
    extras_require=EXTRAS,
)
