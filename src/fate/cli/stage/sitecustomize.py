"""The way onto the stage: Python imports this at its start because `fate run` put this directory on PYTHONPATH.

It leaves no trace but `fate_stage`: this directory goes off `sys.path`, and the environment's own `sitecustomize`,
if it has one, runs as it would have run without Fate. Any Python that inherits the environment comes through here,
old ones too, so this file has no functions, no annotations and needs nothing but `os` and `sys`. A Python of
another installation than the one `fate run` was called in passes through unchanged.
"""

import os
import sys

_stage = os.path.dirname(__file__)
_tag = getattr(getattr(sys, "implementation", None), "cache_tag", None)
if os.environ.get("FATE_STAGE") == os.pathsep.join([sys.prefix, str(_tag)]):
    __import__("fate_stage").enter(_stage)

sys.path[:] = [_path for _path in sys.path if _path != _stage]

_this = sys.modules.pop("sitecustomize", None)
try:
    __import__("sitecustomize")
except ImportError as error:
    if getattr(error, "name", None) != "sitecustomize":
        raise
finally:
    # The import under way looks itself up once more when it ends.
    if _this is not None:
        sys.modules.setdefault("sitecustomize", _this)
