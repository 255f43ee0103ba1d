"""The columns of a fit's file, for each format that was ever written: every one of them can be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bnbench.inputs.masks import Mask

# A row per pixel. test_loss and test_accuracy are of the split that the protocol measures on.
LANDSCAPE_SCHEMA = pa.schema(
    [
        ("arm", pa.string()),
        ("p", pa.float64()),
        ("seed", pa.int32()),
        ("row", pa.int16()),
        ("column", pa.int16()),
        ("black", pa.bool_()),
        ("trained", pa.bool_()),
        ("test_loss", pa.float32()),
        ("test_accuracy", pa.float32()),
        ("train_loss", pa.float32()),
        ("train_accuracy", pa.float32()),
    ]
)
# By format. Files of format 1 have no digest. A new format is a line here, with the schema that it is written with.
SCHEMAS = {1: LANDSCAPE_SCHEMA, 2: LANDSCAPE_SCHEMA}
FORMAT = max(SCHEMAS)  # which is written


def pixel_columns(mask: Mask, trained: Mask) -> dict[str, np.ndarray[Any, Any]]:
    """Return what says which pixel a row is of, a row per pixel in reading order.

    Args:
        mask: True where black, shape (rows, columns).
        trained: True where trained, same shape.
    """
    rows, columns = np.indices(mask.shape, np.int16)
    return {"row": rows.ravel(), "column": columns.ravel(), "black": mask.ravel(), "trained": trained.ravel()}


def empty_landscape() -> pd.DataFrame:
    """Return a landscape without pixels: the columns and their types."""
    table: pd.DataFrame = LANDSCAPE_SCHEMA.empty_table().to_pandas()
    return table


def with_later_columns(landscape: pd.DataFrame) -> pd.DataFrame:
    """Return a landscape of any format with the columns of the newest; those that it lacks hold missing values."""
    names = LANDSCAPE_SCHEMA.names
    return landscape if landscape.columns.tolist() == names else landscape.reindex(columns=names)
