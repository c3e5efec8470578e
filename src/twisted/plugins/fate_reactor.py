"""Fate's reactor for `trial --reactor=fate` and `twistd --reactor=fate`: found by Twisted's plugin search."""

from twisted.application.reactors import Reactor

fate = Reactor("fate", "fate.tx", "Fate: epoll without a layer between, its own timers, and an asyncio loop as well.")
