"""An interpreter for the BPF instructions that seccomp filters use (bpf(4), seccomp(2))."""

from __future__ import annotations

import operator
import struct

_JUMPS = {0x15: operator.eq, 0x25: operator.gt, 0x35: operator.ge, 0x45: operator.and_}


def run(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """Run a filter; return its answer to a call with these first arguments.

    :raises ValueError: seccomp does not accept an instruction.
    """
    values = (*arguments, *(0,) * 6)[:6]
    data = struct.pack("=IIQ6Q", number, arch, 0, *values)
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator = counter = 0
    memory = [0] * 16
    while True:
        operation, yes, no, operand = code[counter]
        counter += 1
        match operation:
            case 0x20:  # LD ABS
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x60:  # LD MEM
                accumulator = memory[operand]
            case 0x02:  # ST
                memory[operand] = accumulator
            case 0x54:  # AND
                accumulator &= operand
            case 0x05:  # JA
                counter += operand
            case 0x15 | 0x25 | 0x35 | 0x45:
                counter += yes if _JUMPS[operation](accumulator, operand) else no
            case 0x06:  # RET
                return int(operand)
            case _:
                raise ValueError(f"instruction {operation:#x}")
