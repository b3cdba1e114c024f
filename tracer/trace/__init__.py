"""The trace file: JSON lines, written as things happen. The builder reads nothing else of a run.

The first line names the schema; each further line is one thing that happened, in order:

=========  ==========================================================================
key        line
=========  ==========================================================================
slimtrace  the schema version and the program's version (first line only)
run        a run begins; the lines up to the next ``run`` are its
process    an exec made a process image
exit       a process image ended
use        a touch: ``t`` seconds, ``p`` process image, ``path``, ``was`` (State), ``stat``
save       a file was put aside before a change
syscall    a system call was seen for the first time in this trace's run
argument   the value of a call's telling argument, once for each: ``socket``, ``clone``
narrow     a call came by the 32-bit ABI of a 64-bit machine
counts     how often each system call was made, where all of them were stopped
listen     the app accepts traffic on a port
gap        something may not have been seen
driven     the drivers have ended: how that went
end        the run is over
healed     a path that a verification missed in the slim image, to be added to the next
jvm        the modules that JVMs of this JAVA_HOME used in the run ``of``, counted from 0
=========  ==========================================================================
"""
