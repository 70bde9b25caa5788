"""A client without the packages has none of their code, be they installed or not."""

from __future__ import annotations

from tests.running import ROOT

from .clients import PACKAGES


def test_nothing_can_be_imported_from_the_checkout(new_client):
    printed = new_client().run(
        """
import importlib.util
from datasets import Dataset
for name in sys.argv[1:]:
    try:
        __import__(name)
        raise SystemExit(f"{name} was imported")
    except ModuleNotFoundError as error:
        print(error.name)
    del sys.modules[name]
    assert importlib.util.find_spec(name) is None or not importlib.util.find_spec(name).origin.startswith(ROOT), name
""".replace("ROOT", repr(str(ROOT))),
        *PACKAGES,
    )
    assert printed.split() == list(PACKAGES)


def test_a_client_that_gets_round_that_fails(new_client):
    code = f"""
del sys.modules["modeling_genebert"]
sys.path.insert(0, {str(ROOT)!r})
import modeling_genebert.dna_genebert
print("done")
"""
    printed = new_client().fail(code)
    assert "done" in printed
    assert "imported from the checkout:" in printed
    assert str(ROOT / "modeling_genebert" / "__init__.py") in printed
