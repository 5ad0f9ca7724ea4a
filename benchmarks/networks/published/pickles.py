"""Published pickles read as data: no class is looked up, no code runs, nothing is allocated unseen.

A pickle is a program for a stack machine. Its opcodes come from the standard library's parser;
this machine carries out those that build data, and stands in for the few functions that published
files call. Anything else a file names is refused by that name. No length is believed before the
bytes are there: sizes, strides and offsets are checked against the storage.
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

MOST_OPCODES = 1_000_000  # of a file; the published ones have some ten thousand
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
    """A file asks for something that reading data never needs."""


@dataclass(frozen=True)
class Name:
    """A name in a file, module and attribute, that nothing has been looked up for."""

    module: str
    name: str

    @property
    def key(self) -> tuple[str, str]:
        """As in ALLOWED."""
        return self.module, self.name


@dataclass
class Record:
    """An object by the name of its class and its state."""

    class_name: str
    state: dict[Any, Any] = field(default_factory=dict)


class Source:
    """A file that never returns, and so never allocates for, more than it has left."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, n: int = -1) -> bytes:
        """At most n bytes."""
        left = self._size - self._file.tell()
        return self._file.read(left if n < 0 else min(n, left))

    def readline(self) -> bytes:
        """Up to the end of a line."""
        return self._file.readline()

    def tell(self) -> int:
        """Bytes read."""
        return self._file.tell()


def read_pickle(file: BinaryIO) -> Any:
    """What a file holds: plain data, `Record`, tensors, `Array`, all shared parts shared.

    Raises:
        RefusedError: It names what is not in ALLOWED, or uses an opcode that no data need.
        ValueError: It is broken.
    """
    size = os.fstat(file.fileno()).st_size
    return _Machine(ALLOWED).run(Source(file, size))


class _Mark:
    """Where on the stack a group of items begins."""


class _Machine:
    """The stack, the memo, and a method for each kind of opcode."""

    def __init__(self, allowed: set[tuple[str, str]], parts: Parts | None = None) -> None:
        self.allowed, self.parts = allowed, parts
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, source: Any) -> Any:
        """The object that the opcodes up to STOP leave."""
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
        """What stands above the last mark, which goes too."""
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
    """A key or an element: plain, as hashing nested tuples may end the process."""
    if not isinstance(value, str | int | float | bytes | None):
        raise ValueError(f"has a key that is {type(value).__name__}")
    return value


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    return ((_key(k), v) for k, v in zip(items[::2], items[1::2], strict=True))


def call(called: Name, arguments: tuple[Any, ...]) -> Any:
    """What an allowed function gives; its checks are those of the readers of tensors and arrays."""
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
    """An object that its file keeps with its source; the source is never run."""
    name, state = meta["class_name"], meta["state"]
    if not isinstance(name, str) or not isinstance(state, dict | None):
        raise ValueError("has an object without the name of its class or its state")
    return Record(name, state or {})


def _storage(data: bytes) -> Any:
    """The numbers in a storage's own file, parsed by a machine that may name their type alone."""
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
