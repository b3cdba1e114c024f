"""How an app's calls, births and ends are heard of: by notification, or by ptrace.

``choose`` takes one; each is an ``engine.Engine``. ``notify`` puts a ``guard`` between itself and
the app, answers calls in ``notifications`` and learns in ``lives`` who makes them; ``ptrace`` hears
of everything in ``lifecycle``; ``attach`` does so with what runs already. What a call means is
``decode``'s business, and remembered in ``meanings``.
"""
