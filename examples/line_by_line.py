"""Steps that wait, one after the other, written in three ways: by callbacks, by inlineCallbacks, and by await.

    python examples/line_by_line.py

Each makes a cake: a command tells what goes in, a thread does the stirring, and what fails on the way is eaten all the
same. The three do the same, and may call each other: each returns a Deferred, or can be made one.
"""

import sys

from fate import defer, reactor
from fate.tools import in_thread, run_command


def shop(cake):
    """Run a command that prints what goes into a cake."""
    return run_command([sys.executable, "-c", "import sys; print('flour', 'butter', sys.argv[1])", cake])


def stir(things):
    """What takes long, and must not keep the others waiting. Stones cannot be stirred."""
    if "stones" in things:
        raise ValueError("the spoon broke")
    return " and ".join(things)


def by_callbacks(cake):
    def put_in(output):
        return in_thread(stir, output.text().split())

    def baked(dough):
        return f"a cake of {dough}"

    def failed(failure):
        failure.trap(ValueError)
        return f"no cake, for {failure.getErrorMessage()}"

    d = shop(cake)
    d.addCallback(put_in)
    d.addCallback(baked)
    d.addErrback(failed)
    return d


@defer.inlineCallbacks
def by_inline_callbacks(cake):
    try:
        output = yield shop(cake)
        dough = yield in_thread(stir, output.text().split())
    except ValueError as error:
        return f"no cake, for {error}"
    return f"a cake of {dough}"


async def by_await(cake):
    try:
        output = await shop(cake)
        dough = await in_thread(stir, output.text().split())
    except ValueError as error:
        return f"no cake, for {error}"
    return f"a cake of {dough}"


async def main():
    for cake in ("cherries", "stones"):
        print("by callbacks:", await by_callbacks(cake))
        print("by inlineCallbacks:", await by_inline_callbacks(cake))
        print("by await:", await by_await(cake))


defer.ensureDeferred(main()).addErrback(print).addCallback(lambda _: reactor.stop())
reactor.run()
