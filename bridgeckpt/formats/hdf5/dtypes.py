"""The dtype of an HDF5 dataset: whether its stored bytes are exactly a known dtype, and their byte order.

HDF5 describes a number by its bits, and h5py finds a numpy dtype that can hold it. bridgeckpt reads the stored bytes
without conversion, so the description must match the dtype exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridgeckpt.store.tensors import DTYPES

if TYPE_CHECKING:
    from h5py.h5d import DatasetID

_BFLOAT16 = (
    15,
    7,
    8,
    0,
    7,
)  # position of the sign, then position and size of exponent and of mantissa

# By H5T_class_t
_CLASSES = {
    0: "unusual integer",
    1: "unusual float",
    2: "time",
    3: "text",
    4: "bit field",
    5: "opaque",
    6: "compound",
    7: "reference",
    8: "enum",
    9: "variable length",
    10: "array",
}


def dtype_of(dataset: DatasetID) -> tuple[str, bool]:
    """The dtype's name, and whether it is big-endian. If it is not a known number: the name of its HDF5 class."""
    import h5py

    kind = dataset.get_type()
    if isinstance(kind, h5py.h5t.TypeOpaqueID) and kind.get_size() == 2 and h5py.h5a.exists(dataset, b"dtype"):
        # ml_dtypes' bfloat16 is opaque to h5py; Keras writes the dtype in an attribute
        return ("bfloat16", False) if _says_bfloat16(dataset) else ("opaque", False)
    if isinstance(kind, h5py.h5t.TypeFloatID) and kind.get_size() == 2 and kind.get_fields() == _BFLOAT16:
        return "bfloat16", kind.get_order() == h5py.h5t.ORDER_BE
    try:
        dtype = kind.dtype
    except TypeError:  # numpy has no such dtype
        return _CLASSES.get(kind.get_class(), "unknown"), False
    # for an unusual number, h5py takes the nearest dtype that can hold it; the stored bytes then differ
    if dtype.name in DTYPES and kind.equal(h5py.h5t.py_create(dtype, logical=True)):
        return dtype.name, dtype.byteorder == ">"
    return _CLASSES.get(kind.get_class(), "unknown"), False


def _says_bfloat16(dataset: DatasetID) -> bool:
    import h5py

    return bool(h5py.Dataset(dataset).attrs["dtype"] == "bfloat16")
