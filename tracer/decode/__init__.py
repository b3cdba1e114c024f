"""What the call that a stopped thread is about to make means for files, and what it touches.

A call is decoded before the kernel executes it: what is at a path is looked at then, as the
call will meet it. ``decoder`` hands each call to the module that knows its meaning;
``path_arguments`` finds the file that a path argument names, and ``touches`` records what is done
to it. ``call_cache`` remembers calls, so that most of them need no decoding.
"""
