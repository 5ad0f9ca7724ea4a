"""Published pickles read as data: no class is looked up, and no code of theirs is run.

A pickle is a program for a stack machine. The standard library parses its opcodes. This machine
carries out those that build data, and has its own versions of the few functions that published
files call. Any other name in a file is refused. No length is trusted before the bytes have been
seen: sizes, strides and offsets are checked against the storage before memory is allocated.
"""

import os
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from benchmarks.networks.published.pickled_arrays import ARRAYS, Array, PickledType
from benchmarks.networks.published.pickled_tensors import (
    STORAGES,
    Parts,
    load_storage,
    rebuild_tensor,
)

MOST_OPCODES = 1_000_000  # per file; the published ones have about ten thousand
RECORDS = {  # functions and classes whose objects are kept as their state
    ("torch_utils.persistence", "_reconstruct_persistent_obj"),
    ("torch.nn.modules.container", "ModuleDict"),
}
DICTS = {("dnnlib.util", "EasyDict"), ("collections", "OrderedDict")}
TENSORS = {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch.storage", "_load_from_bytes"),
}
CODECS = {("_codecs", "encode")}
SETS = {("builtins", "set"), ("__builtin__", "set")}
ALLOWED = RECORDS | DICTS | TENSORS | CODECS | SETS | set(ARRAYS)


class RefusedError(ValueError):
    """A file asks for something that reading data does not need."""


@dataclass(frozen=True)
class Name:
    """A module and an attribute that a file names. Nothing is looked up for it."""

    module: str
    name: str

    @property
    def key(self) -> tuple[str, str]:
        """The pair, as in ALLOWED."""
        return self.module, self.name


@dataclass
class Record:
    """An object, as the name of its class and its state."""

    class_name: str
    state: dict[Any, Any] = field(default_factory=dict)


class Source:
    """A file that never returns, or allocates memory for, more bytes than it has left."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, n: int = -1) -> bytes:
        """At most n bytes."""
        left = self._size - self._file.tell()
        return self._file.read(left if n < 0 else min(n, left))

    def readline(self) -> bytes:
        """The bytes up to the end of the line."""
        return self._file.readline()

    def tell(self) -> int:
        """Number of bytes read."""
        return self._file.tell()


def read_pickle(file: BinaryIO) -> Any:
    """The contents of a file: plain data, `Record`, tensors and `Array`, with shared parts shared.

    Raises:
        RefusedError: It has a name that is not in ALLOWED, or an opcode that no data need.
        ValueError: It is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    return _Machine(ALLOWED).run(Source(file, size))


class _Mark:
    """The beginning of a group of items on the stack."""


class _Machine:
    """The stack, the memo, and one method per kind of opcode."""

    def __init__(self, allowed: set[tuple[str, str]], parts: Parts | None = None) -> None:
        self.allowed, self.parts = allowed, parts
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, source: Any) -> Any:
        """The object on the stack when the opcode STOP is reached."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):
            if count > MOST_OPCODES:
                raise RefusedError(f"more than {MOST_OPCODES} opcodes")
            name = opcode.name
            if name == "STOP":
                return self._pop()
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _MAKERS:
                self.stack.append(_MAKERS[name]())
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise RefusedError(f"opcode {name}")
        raise ValueError("ends without STOP")

    def _pop(self) -> Any:
        if not self.stack or self.stack[-1] is _Mark:
            raise ValueError("takes more from its stack than is there")
        return self.stack.pop()

    def _top(self, kind: type | tuple[type, ...]) -> Any:
        value = self._pop()
        self.stack.append(value)
        if not isinstance(value, kind):
            raise ValueError(f"adds items to {type(value).__name__}")
        return value

    def _items(self) -> list[Any]:
        """Remove and return the items above the last mark; the mark is removed too."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _Mark:
                found = self.stack[i + 1 :]
                del self.stack[i:]
                return found
        raise ValueError("has no mark on its stack")

    def _tuple(self, n: int) -> None:
        items = [self._pop() for _ in range(n)]
        self.stack.append(tuple(reversed(items)))

    def _append(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def _add(self, items: list[Any]) -> None:
        self._top(set).update(_key(item) for item in items)

    def _set(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise ValueError("has a key without a value")
        self._top(dict).update(_pairs(items))

    def _one(self) -> list[Any]:
        return [self._pop()]

    def _two(self) -> list[Any]:
        value = self._pop()
        return [self._pop(), value]

    def _put(self, place: int) -> None:
        value = self._pop()
        self.stack.append(value)
        self.memo[place] = value

    def _get(self, place: int) -> None:
        if place not in self.memo:
            raise ValueError(f"wants entry {place} of its memo, which is empty")
        self.stack.append(self.memo[place])

    def _name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("names something by what is no string")
        if (module, name) not in self.allowed:
            raise RefusedError(f"{module}.{name}")
        self.stack.append(Name(module, name))

    def _global(self, text: str) -> None:
        module, _, name = text.partition(" ")
        self._name(module, name)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._name(module, name)

    def _call(self) -> None:
        arguments, called = self._pop(), self._pop()
        if not isinstance(called, Name) or not isinstance(arguments, tuple):
            raise ValueError(f"calls {type(called).__name__}")
        self.stack.append(call(called, arguments))

    def _new_with_keywords(self) -> None:
        if self._pop() != {}:
            raise RefusedError("opcode NEWOBJ_EX with keywords")
        self._call()

    def _build(self) -> None:
        state = self._pop()
        build(self._top((Record, dict, Array, PickledType)), state)

    def _persistent(self) -> None:
        if self.parts is None:
            raise RefusedError("opcode BINPERSID")
        self.stack.append(self.parts.claim(self._pop()))


_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
}
_MAKERS: dict[str, Callable[[], Any]] = {
    **{"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False},
    **{"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set},
    "MARK": lambda: _Mark,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "POP": lambda m, _: m.stack.pop() if m.stack else m._pop(),
    "POP_MARK": lambda m, _: m._items(),
    "DUP": lambda m, _: m.stack.append(m._top(object)),
    "LIST": lambda m, _: m.stack.append(m._items()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m._items())),
    "TUPLE1": lambda m, _: m._tuple(1),
    "TUPLE2": lambda m, _: m._tuple(2),
    "TUPLE3": lambda m, _: m._tuple(3),
    "FROZENSET": lambda m, _: m.stack.append(frozenset(map(_key, m._items()))),
    "DICT": lambda m, _: m.stack.append(dict(_pairs(m._items()))),
    "APPEND": lambda m, _: m._append(m._one()),
    "APPENDS": lambda m, _: m._append(m._items()),
    "ADDITEMS": lambda m, _: m._add(m._items()),
    "SETITEM": lambda m, _: m._set(m._two()),
    "SETITEMS": lambda m, _: m._set(m._items()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, place: m._put(int(place))),
    "MEMOIZE": lambda m, _: m._put(len(m.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, place: m._get(int(place))),
    "GLOBAL": lambda m, text: m._global(text),
    "STACK_GLOBAL": lambda m, _: m._stack_global(),
    "REDUCE": lambda m, _: m._call(),
    "NEWOBJ": lambda m, _: m._call(),
    "NEWOBJ_EX": lambda m, _: m._new_with_keywords(),
    "BUILD": lambda m, _: m._build(),
    "BINPERSID": lambda m, _: m._persistent(),
}


def _key(value: Any) -> Any:
    """A key or an element, which must be plain: hashing nested tuples can crash the process."""
    if not isinstance(value, str | int | float | bytes | None):
        raise ValueError(f"has a key that is {type(value).__name__}")
    return value


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    return ((_key(k), v) for k, v in zip(items[::2], items[1::2], strict=True))


def call(called: Name, arguments: tuple[Any, ...]) -> Any:
    """The result of an allowed function. The readers of tensors and arrays check arguments."""
    key = called.key
    if key in ARRAYS:
        return ARRAYS[key](*arguments)
    if key in DICTS:
        if not arguments:
            return {}
        raise ValueError(f"calls {called.name} with {len(arguments)} arguments")
    if key == ("torch_utils.persistence", "_reconstruct_persistent_obj"):
        return _persistent_object(*arguments)
    if key in RECORDS:
        return Record(called.name)
    if key == ("torch._utils", "_rebuild_tensor_v2"):
        return rebuild_tensor(*arguments[:4])
    if key == ("torch._utils", "_rebuild_parameter"):
        return arguments[0]
    if key == ("torch.storage", "_load_from_bytes"):
        return _storage(*arguments)
    if key in SETS:
        return {_key(item) for items in arguments for item in items}
    if key in CODECS:
        text, encoding = arguments
        if encoding not in ("latin1", "latin-1"):
            raise RefusedError(f"_codecs.encode to {encoding!r:.40}")
        return text.encode("latin1")
    raise RefusedError(f"a call of {called.module}.{called.name}")


def _persistent_object(meta: dict[Any, Any]) -> Record:
    """An object that is stored with its source code, which is never run."""
    name, state = meta["class_name"], meta["state"]
    if not isinstance(name, str) or not isinstance(state, dict | None):
        raise ValueError("has an object without the name of its class or its state")
    return Record(name, state or {})


def _storage(data: bytes) -> Any:
    """The numbers in a storage's own file, whose machine allows only the name of their type."""
    return load_storage(data, lambda parts, source: _Machine(STORAGES, parts).run(source))


def build(made: Record | dict[Any, Any] | Array | PickledType, state: Any) -> None:
    """Give an object its state."""
    if isinstance(made, Array | PickledType):
        made.build(state)
        return
    if state is None:
        return
    if not isinstance(state, dict):
        raise ValueError(f"gives an object a state that is {type(state).__name__}")
    (made.state if isinstance(made, Record) else made).update(state)
