"""Offline replay: code that people wrote is hidden, the real server is asked for it, and scored.

``corpora`` whose code, ``working_copy`` where the server sees it, ``lines`` and ``sampling`` what
is hidden, ``editor``, ``driver`` and ``keystrokes`` how the server is asked, ``scoring`` how an
answer is judged, ``results`` and ``summary`` what a run says, ``bootstrap`` how two runs differ.
"""
