"""The public names: Twisted's, all of them, and Fate's own."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from support import printed

import fate
from fate import defer

OWN = {
    "CallbackError", "NoCurrentExceptionError", "Story", "WaitsForItselfError", "fromAwaitable", "getStory", "setStory",
}  # fmt: skip


def test_every_public_name_of_twisteds_is_here() -> None:
    twisted = pytest.importorskip("twisted.internet.defer")
    defined = {
        name
        for name, value in vars(twisted).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == twisted.__name__ and name[0].isalpha()
    }
    constants = {"SUCCESS", "FAILURE", "Failure"}
    unwanted = {"DeferredCallback", "DeferredErrback"}  # aliases for annotations
    assert (set(twisted.__all__) | defined | constants) - unwanted == set(defer.__all__) - OWN


def test_what_is_public_has_twisteds_parameters() -> None:
    twisted = pytest.importorskip("twisted.internet.defer")
    from fate.defer import inline, locks, racing

    for module in (inline, locks, racing):
        for name, value in vars(module).items():
            if name in defer.__all__ and inspect.isfunction(value) and hasattr(twisted, name):
                assert list(inspect.signature(value).parameters) == list(
                    inspect.signature(getattr(twisted, name)).parameters
                ), name


def test_every_public_name_is_documented() -> None:
    for name in defer.__all__:
        value = getattr(defer, name)
        if inspect.isclass(value):
            assert value.__doc__, name
    for name in ("addCallback", "addCallbacks", "addErrback", "addBoth", "callback", "errback", "cancel", "story"):
        assert getattr(defer.Deferred, name).__doc__, name


def test_fate_gives_them_when_asked() -> None:
    assert fate.Deferred is defer.Deferred
    assert fate.defer is defer
    assert printed("import fate, sys; print('fate.defer' in sys.modules)") == "False"


def test_they_need_no_twisted_and_no_loop() -> None:
    program = """
        import sys
        from fate.defer import Deferred
        Deferred().callback(1)
        print([name for name in ("twisted", "fate.loop", "fate.core") if name in sys.modules])
    """
    assert printed(program) == "[]"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        defer.Deferred().nothing  # noqa: B018


def test_the_types_are_of_the_same_names() -> None:
    stub = ast.parse(Path(inspect.getfile(defer)).with_suffix(".pyi").read_text())
    imported = {
        alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname
    }
    named = {
        node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    defined = {node.name: node for node in stub.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    assert {name for name in imported | named | set(defined) if not name.startswith("_")} == set(defer.__all__)
    for name, node in defined.items():
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not name.startswith("_"):
                    assert hasattr(getattr(defer, name), method.name), (name, method.name)
        elif inspect.isfunction(getattr(defer, name)):  # a compiled function has no signature
            parameters = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            assert list(inspect.signature(getattr(defer, name)).parameters)[: len(parameters)] == parameters, name
