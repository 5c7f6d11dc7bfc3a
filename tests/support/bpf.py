"""Run a system call filter as the kernel would, and decode what it answers."""

import errno
import struct
from dataclasses import dataclass

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED = "allowed"
KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Call:
    number: int
    architecture: int
    arguments: tuple[int, ...] = ()

    def data(self) -> bytes:
        """The kernel's struct seccomp_data."""
        arguments = (*self.arguments, *[0] * 6)[:6]
        return struct.pack("=IIQ6Q", self.number, self.architecture, 0, *arguments)


def run(program: bytes, call: Call) -> str:
    """Return "allowed", "killed", or the name of the error; "OK" is a success without effect."""
    return _named(_returned(program, call.data())[0])


def steps(program: bytes, call: Call) -> int:
    return _returned(program, call.data())[1]


def _returned(program: bytes, data: bytes) -> tuple[int, int]:
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = taken = 0
    while True:
        code, true, false, operand = instructions[position]
        position += 1
        taken += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x15:
                position += true if accumulator == operand else false
            case 0x35:
                position += true if accumulator >= operand else false
            case 0x45:
                position += true if accumulator & operand else false
            case 0x06:
                return operand, taken
            case _:
                raise AssertionError(f"instruction {code:#x} is not one that the filter uses")


def _named(answer: int) -> str:
    if answer == 0x7FFF0000:
        return ALLOWED
    if answer == 0x80000000:
        return KILLED
    assert answer >> 16 == 5, f"unknown answer {answer:#x}"
    number = answer & 0xFFFF
    return errno.errorcode[number] if number else "OK"
