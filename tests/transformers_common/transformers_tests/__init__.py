"""
transformers' own tests as a package: its `test_*.py` from the user's cache (see `source.py`), and beside them
stand-ins of our own for the modules that they import and that its source distribution leaves out.
"""

import sys

from ..source import tests_folder
from . import fetch_hub_objects_for_ci


sys.modules["fetch_hub_objects_for_ci"] = fetch_hub_objects_for_ci  # imported as a top-level module
__path__.append(str(tests_folder()))
