"""Decodes the call of a stopped thread: which files it will use, and how.

A call is decoded before the kernel executes it, so that the decoder sees the files as the call
will see them. ``decoder`` passes each call to the module that knows its meaning.
``path_arguments`` finds the file that a path argument names, and ``touches`` records what is done
to it. ``call_cache`` remembers calls, so that most of them need no decoding.
"""
