"""A value of an ONNX graph under construction, which Python's operators work on as on an array."""

from typing import Any


class Traced:
    """A value with Python's arithmetic, comparisons and slices; `xp` is the `OnnxOperations` that it belongs to."""

    # So that an array on the left leaves the operation to this class.
    __array_ufunc__ = None
    # An equality would be an operator too: `OnnxOperations.equal` says so.
    __hash__ = None  # type: ignore[assignment]  # how Python marks what has no hash; its stubs say it is a function

    def __init__(self, xp: Any, name: str, dtype: str) -> None:
        self.xp = xp
        self.name = name
        self.dtype = dtype

    def __add__(self, other: Any) -> Any:
        return self.xp.binary("Add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self.xp.binary("Add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self.xp.binary("Sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.xp.binary("Sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self.xp.binary("Mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.xp.binary("Mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.xp.binary("Div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.xp.binary("Div", other, self)

    def __floordiv__(self, other: Any) -> Any:
        # Of integers, none of which is negative here.
        return self.xp.binary("Div", self, other)

    def __mod__(self, other: Any) -> Any:
        return self.xp.binary("Mod", self, other)

    def __gt__(self, other: Any) -> Any:
        return self.xp.binary("Greater", self, other, dtype="bool")

    def __ge__(self, other: Any) -> Any:
        return self.xp.binary("GreaterOrEqual", self, other, dtype="bool")

    def __lt__(self, other: Any) -> Any:
        return self.xp.binary("Less", self, other, dtype="bool")

    def __le__(self, other: Any) -> Any:
        return self.xp.binary("LessOrEqual", self, other, dtype="bool")

    def __getitem__(self, index: Any) -> Any:
        return self.xp.slice(self, index if isinstance(index, tuple) else (index,))
