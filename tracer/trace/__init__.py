"""The trace file: JSON lines, written during the run. The builder reads nothing else of a run.

The first line names the schema; each further line is one event, in order:

=========  ==========================================================================
key        line
=========  ==========================================================================
slimtrace  the schema version and the program's version (first line only)
run        a run begins; the lines up to the next ``run`` belong to it
process    an exec made a process image
exit       a process image ended
use        a touch: ``t`` seconds, ``p`` process image, ``path``, ``was`` (State), ``stat``
save       a file was copied before a change
syscall    a system call was seen for the first time in this trace's run
argument   a value of a call's most important argument: ``socket``, ``clone``
narrow     a call came by the 32-bit ABI of a 64-bit machine
counts     how often each system call was made, if all of them were stopped
listen     the app accepts traffic on a port
gap        the tracer may have missed something
driven     the result of driving the app
end        the run is over
healed     a path that a verification missed in the slim image; the next build adds it
jvm        the modules that JVMs of this JAVA_HOME used in the run ``of``, counted from 0
=========  ==========================================================================
"""
