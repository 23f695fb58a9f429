"""Tables for other programs: Parquet, and AnnData as single-cell tools read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellscope.exports.formats import about

if TYPE_CHECKING:
    import anndata

    from cellscope.exports.formats import Told
    from cellscope.exports.results import Results

PLACE = ("centroid-1", "centroid-0")
"""x and y."""

_TEXT = ("image", "class", "reasons", "group", "roi")
_CALLED = ("label", "parent", "frame", "score")
"""Numbers that are no measurements."""


def write_parquet(results: Results, target: Path, told: Told) -> None:
    """Write every table as ``<name>.parquet``, with what the run was in the schema's metadata (``cellscope``)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target.mkdir()
    said = json.dumps(about(results)).encode()
    for name, frame in results.tables.items():
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"cellscope": said})
        pq.write_table(table, target / f"{name}.parquet")


def write_anndata(results: Results, target: Path, told: Told) -> None:
    """Write the objects as AnnData (``.h5ad``)."""
    as_anndata(results).write_h5ad(target, compression="gzip")


def as_anndata(results: Results) -> anndata.AnnData:
    """Turn the objects of a run into AnnData.

    Returns
    -------
    AnnData
        ``X`` (N, M) float64: the measurements, NaN where undefined; ``var``: their names and units. ``obs``: image,
        label, class, score, review and all other columns. ``obsm["probabilities"]``: ``p_<class>``;
        ``obsm["spatial"]`` (N, 2): x and y of the centroid, pixels. ``uns["cellscope"]``: what the run was, as JSON;
        ``uns["<table>"]``: the other tables.
    """
    import anndata

    tables = results.tables
    objects = tables["objects"]
    names = [str(name) for name in objects.columns]
    probabilities = [name for name in names if name.startswith("p_")]
    numeric = [name for name in names if _is_measured(objects[name]) and name not in (*probabilities, *_CALLED)]
    index = pd.Index(objects["image"].astype(str) + ":" + objects["label"].astype(str), name="object")
    obs = objects[[name for name in names if name not in (*numeric, *probabilities)]].set_index(index)
    for name in obs:
        obs[name] = _plain(obs[name])
    var = pd.DataFrame({"unit": [_unit(name) for name in numeric]}, index=pd.Index(numeric, name="measurement"))
    found = anndata.AnnData(objects[numeric].to_numpy(float), obs=obs, var=var)
    if probabilities:
        found.obsm["probabilities"] = objects[probabilities].set_index(index)
    if set(PLACE) <= set(names):
        found.obsm["spatial"] = objects[list(PLACE)].to_numpy(float)
    found.uns["cellscope"] = json.dumps(about(results))
    for name, frame in tables.items():
        if name != "objects":
            held = frame.copy()
            for column in held:
                held[column] = _plain(held[column])
            held.index = held.index.astype(str)
            found.uns[name] = held
    return found


def _is_measured(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)) and (
        str(column.name) not in _TEXT
    )


def _plain(column: pd.Series) -> pd.Series:
    """Give a column as HDF5 can hold it: text without gaps, truth values that may be undefined as numbers."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        return column
    known = column.dropna()
    if len(known) and all(isinstance(value, bool | np.bool_) for value in known):
        return column.astype(float)
    text = column.astype(object).where(column.notna(), "").astype(str)
    return pd.Categorical(text) if str(column.name) in _TEXT else text


def _unit(name: str) -> str:
    """Give a measurement's unit, from how its column is named."""
    for ending, unit in (("_um2", "µm²"), ("_um", "µm"), ("_degrees", "°")):
        if name.endswith(ending):
            return unit
    base = name.rpartition("-")[0] or name
    pixels: dict[str, Any] = dict.fromkeys(
        ("bbox", "centroid", "axis_major_length", "axis_minor_length", "perimeter", "feret_diameter_max",
         "equivalent_diameter_area", "drift"), "pixel",
    ) | {"area": "pixel²", "orientation": "radian"}  # fmt: skip
    return str(pixels.get(base, ""))
