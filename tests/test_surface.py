"""The public names of `fate`, pinned; what importing them costs and does; the tree of errors."""

from __future__ import annotations

import builtins
import importlib
import inspect
import json
import re
from types import ModuleType

import pytest
from support import printed

import fate
from fate import errors

NAMES = {
    "Deferred": "fate.defer",
    "EventLoopPolicy": "fate.policy",
    "Fate": "fate.loop",
    "FateError": "fate.errors",
    "Fuse": "fate.core.fuse",
    "Handle": "fate.core.handle",
    "Packet": "fate.net.packet",
    "PacketFuse": "fate.net.packet",
    "Record": "fate.core.record",
    "Recorder": "fate.core.record",
    "TimerHandle": "fate.core.handle",
    "__version__": None,
    "compiled": None,
    "defer": None,
    "errors": None,
    "install": "fate.policy",
    "new_event_loop": "fate.loop",
    "reactor": None,
    "run": "fate.loop",
    "tools": None,
}

OF_A_FATE = [
    "check_fuses", "fuses", "get_fuse", "get_packet_fuse", "remove_instrument", "run", "set_instrument", "shutdown",
]  # fmt: skip

OF_A_FUSE = [
    "add_handler", "burn", "call_handler", "cancel", "cancelled", "error", "fail", "has_handler", "is_burned",
    "is_over", "remove_handler", "set_handler", "set_time", "value", "what",
]  # fmt: skip


def test_the_public_names() -> None:
    assert sorted(fate.__all__) == sorted(NAMES)
    assert sorted(dir(fate)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_where_it_belongs(name: str) -> None:
    value = getattr(fate, name)
    home = NAMES[name]
    if home is not None:
        assert value is getattr(importlib.import_module(home), name)
        assert inspect.getdoc(value)


def test_what_is_not_there_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'fate' has no attribute 'furies'"):
        _ = fate.furies  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="furies"):
        from fate import furies  # type: ignore[attr-defined]  # noqa: F401


def test_a_star_import_gives_the_public_names() -> None:
    assert set(json.loads(printed("from fate import *; import json; print(json.dumps(dir()))"))) >= {
        name for name in NAMES if not name.startswith("_")
    }


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert fate.__version__ == version("fate-loop")


def test_compiled_says_whether_it_is() -> None:
    import fate.core.engine

    source = fate.core.engine.__file__
    assert isinstance(fate.compiled, bool)
    assert fate.compiled is not source.endswith(".py")


def test_what_a_fate_has_beyond_asyncio() -> None:
    import asyncio

    own = {name for name in vars(fate.Fate) if not name.startswith("_")}
    assert sorted(own - set(dir(asyncio.SelectorEventLoop)) - {"slow_callback_duration"}) == OF_A_FATE


def test_what_a_fuse_has(loop: fate.Fate) -> None:
    fuse = loop.get_fuse()
    assert [name for name in dir(fuse) if not name.startswith("_")] == OF_A_FUSE


def test_every_public_method_has_a_docstring() -> None:
    without = [
        f"{owner.__name__}.{name}"
        for owner in (fate.Fate, fate.Fuse, fate.PacketFuse, fate.Handle, fate.TimerHandle, fate.Recorder)
        for name, value in vars(owner).items()
        if not name.startswith("_") and callable(value) and not inspect.getdoc(value)
    ]
    assert without == []


def test_importing_fate_loads_nothing_heavy_until_a_name_is_asked_for() -> None:
    program = """
    import sys
    before = set(sys.modules)
    import fate
    loaded = set(sys.modules) - before
    assert not loaded & {"asyncio", "socket", "ssl", "click", "msgspec"}, loaded
    fate.FateError
    assert "asyncio" not in sys.modules
    fate.Fate
    assert "asyncio" in sys.modules
    assert not {"click", "msgspec", "fate.cli", "fate.policy"} & set(sys.modules)
    assert "Fate" in vars(fate)
    """
    assert printed(program) == ""


def test_importing_fate_and_making_a_loop_change_nothing_of_asyncios_choice() -> None:
    program = """
    import asyncio
    before = asyncio.events._event_loop_policy
    import fate
    loop = fate.Fate()
    loop.close()
    fate.run(asyncio.sleep(0))
    assert before is None and asyncio.events._event_loop_policy is None
    loop = asyncio.new_event_loop()
    print(type(loop).__module__)
    loop.close()
    """
    assert printed(program).startswith("asyncio.")


# -- errors -----------------------------------------------------------------------------------------------------------

TREE = {
    "FateError": ("Exception", None),
    "LoopError": ("FateError", "RuntimeError"),
    "LoopClosedError": ("LoopError", None),
    "LoopRunningError": ("LoopError", None),
    "LoopOptionError": ("LoopError", "ValueError"),
    "WrongThreadError": ("LoopError", None),
    "NoFateError": ("LoopError", None),
    "FuseError": ("FateError", None),
    "FuseTimeError": ("FuseError", "ValueError"),
    "FuseHandlerError": ("FuseError", "TypeError"),
    "FuseOverError": ("FuseError", "RuntimeError"),
    "ForeignFuseError": ("FuseError", "ValueError"),
    "SourceError": ("FateError", "OSError"),
    "AddressInUseError": ("SourceError", None),
    "OutOfDescriptorsError": ("SourceError", None),
    "DeferredError": ("FateError", None),
    "PageError": ("FateError", None),
    "PageURLError": ("PageError", "ValueError"),
    "PageHostError": ("PageError", "OSError"),
    "PageConnectionError": ("PageError", "ConnectionError"),
    "PageRefusedError": ("PageConnectionError", "ConnectionRefusedError"),
    "PageTLSError": ("PageConnectionError", None),
    "PageBrokenError": ("PageConnectionError", None),
    "PageTimeoutError": ("PageError", "TimeoutError"),
    "PageSizeError": ("PageError", None),
    "PageStatusError": ("PageError", None),
    "CommandError": ("FateError", None),
    "CommandStartError": ("CommandError", "OSError"),
    "CommandTimeoutError": ("CommandError", "TimeoutError"),
    "CommandSizeError": ("CommandError", None),
    "CommandFailedError": ("CommandError", None),
    "LineTooLongError": ("FateError", "ValueError"),
    "MissingExtraError": ("FateError", "ImportError"),
    "ProgramError": ("FateError", None),
}


def raised() -> dict[str, type[BaseException]]:
    return {
        name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)
    }


def test_the_errors_are_these_and_no_others() -> None:
    assert list(raised()) == list(TREE)


@pytest.mark.parametrize("name", TREE)
def test_each_error_is_also_the_built_in_one_it_stands_for(name: str) -> None:
    parent, other = TREE[name]
    expected = [getattr(errors, parent, None) or getattr(builtins, parent)]
    if other is not None:
        expected.append(getattr(builtins, other))
    assert list(getattr(errors, name).__bases__) == expected
    assert inspect.getdoc(getattr(errors, name))


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^ *[│├└─ ]*(\w+Error)(?: \((\w+)\))?", errors.__doc__, re.MULTILINE)
    assert [(name, other or None) for name, other in drawn] == [(name, other) for name, (_, other) in TREE.items()]


def test_a_source_error_keeps_the_number_and_the_words_of_the_system() -> None:
    error = errors.source_error(OSError(13, "Permission denied"), "do it")
    assert type(error) is errors.SourceError
    assert error.errno == 13
    assert str(error).endswith("cannot do it: Permission denied")


def test_a_name_that_cannot_be_looked_up_keeps_its_words() -> None:
    import socket

    error = errors.source_error(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "do it")
    assert "Name or service not known" in str(error)


def test_the_package_is_typed() -> None:
    from importlib.resources import files

    assert isinstance(fate, ModuleType)
    assert files("fate").joinpath("py.typed").is_file()
