"""Fetches a page without keeping anybody waiting, as the article "Async Python and Twisted" does.

    python examples/print_page.py http://localhost:8000/

Twisted has removed its getPage; this one comes from Fate, and needs aiohttp: pip install fate-loop[http]
"""

import sys

from fate import reactor
from fate.tools import get_page

# This function returns a Deferred
d = get_page(sys.argv[1])
# The deferred will fire when/if the page is successfully downloaded with the contents of the web page


# As in the examples above, we tell Fate what to do when it does fire
def print_page(data):
    print("Page contents:")
    print(data)


def print_error(failure):
    print("No page:", failure.getErrorMessage())


d.addCallbacks(print_page, print_error)
# Shutdown then; the article does it after three seconds, regardless of success
d.addCallback(lambda _: reactor.stop())
reactor.run()
