"""One stopped call → touches. All engines feed this; nothing here knows how the stop came.

Everything runs while the caller waits, so what is asked of the kernel is the state that the
call will meet. ``decoder`` hands each call to the file that knows its meaning; ``places`` says
which file a path argument names, ``touching`` records what is done to it.
"""
