"""How slimtrace observes an app's calls, births, execs and exits: seccomp notification or ptrace.

``choice`` picks the engine of a run; each is an ``engine.Engine``. ``notify`` answers seccomp
notifications (``notify_loop``) and finds out which process makes a call (``process_tree``).
``ptrace`` gets every event from the kernel (``ptrace_loop``); ``attach_engine`` does the same with
processes that run already. ``launch`` starts the app, on the host or in an image, for ``notify``
under a guard process. What a call means is the business of the package ``decode``.
"""
