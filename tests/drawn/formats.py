"""One stack in the formats that a library at hand can write, or whose layout is plain enough to write by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

PIXEL_UM = 0.325
CHANNELS = ("DAPI", "FITC")


def stack(times: int = 2, channels: int = 2, slices: int = 3, height: int = 24, width: int = 31) -> np.ndarray:
    """Give a (T, C, Z, Y, X) uint16 stack in which every plane differs."""
    shape = (times, channels, slices, height, width)
    return np.random.default_rng(3).integers(0, 4096, shape, dtype=np.uint16)


def write_ome(path: Path, planes: np.ndarray) -> Path:
    metadata = {
        "axes": "TCZYX", "PhysicalSizeX": PIXEL_UM, "PhysicalSizeXUnit": "\u00b5m", "PhysicalSizeY": PIXEL_UM,
        "PhysicalSizeYUnit": "\u00b5m", "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "\u00b5m", "TimeIncrement": 30.0,
        "TimeIncrementUnit": "s", "Channel": {"Name": list(CHANNELS)},
    }  # fmt: skip
    tifffile.imwrite(path, planes, ome=True, metadata=metadata, photometric="minisblack")
    return path


def write_imagej(path: Path, planes: np.ndarray) -> Path:
    metadata = {"axes": "TZCYX", "unit": "um", "finterval": 30.0, "spacing": 2.0}
    tifffile.imwrite(
        path, planes.swapaxes(1, 2), imagej=True, metadata=metadata, resolution=(1 / PIXEL_UM, 1 / PIXEL_UM)
    )
    return path


def write_czi(path: Path, planes: np.ndarray) -> Path:
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as file:
        for t, c, z in np.ndindex(*planes.shape[:3]):
            file.write(np.ascontiguousarray(planes[t, c, z][..., None]), plane={"T": t, "C": c, "Z": z})
        file.write_metadata(
            document_name="made",
            channel_names=dict(enumerate(CHANNELS)),
            scale_x=PIXEL_UM * 1e-6,
            scale_y=PIXEL_UM * 1e-6,
            scale_z=2e-6,
        )
    return path


def write_zarr(path: Path, planes: np.ndarray, *, version: int = 2) -> Path:
    import zarr

    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    axes[:0] = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}]
    scale = [{"type": "scale", "scale": [30.0, 1.0, 2.0, PIXEL_UM, PIXEL_UM]}]
    image = {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    facts = {"multiscales": [image], "omero": {"channels": [{"label": name} for name in CHANNELS]}}
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    array = root.create_array("0", shape=planes.shape, dtype=planes.dtype, chunks=(1, 1, 1, 16, 16))
    array[...] = planes
    root.attrs.update(facts if version == 2 else {"ome": {"version": "0.5", **facts}})
    return path


def write_lif(path: Path, images: dict[str, np.ndarray], *, section: bool = False) -> Path:
    """Write a LIF: an XML header in UTF-16, then a block of memory for every image, (T, C, Z, Y, X) uint16.

    With `section` rows run along Z and slices along Y, as where the microscope scanned across depth.
    """
    rows, over = (3, 2) if section else (2, 3)
    children, blocks = [], []
    for number, (name, planes) in enumerate(images.items()):
        times, channels, slices, height, width = planes.shape
        size, row = planes.dtype.itemsize, planes.dtype.itemsize * width
        plane = row * height
        lengths = {over: (slices, plane * channels, 2e-6), 4: (times, plane * channels * slices, 30.0)}
        pixel = PIXEL_UM * 1e-6
        dims = (
            f'<DimensionDescription DimID="1" NumberOfElements="{width}" Origin="0" Length="{pixel * (width - 1)}" '
            f'Unit="m" BitInc="0" BytesInc="{size}"/><DimensionDescription DimID="{rows}" NumberOfElements="{height}" '
            f'Origin="0" Length="{pixel * (height - 1)}" Unit="m" BitInc="0" BytesInc="{row}"/>'
        )
        for axis, (count, step, length) in lengths.items():
            if count > 1:
                dims += (
                    f'<DimensionDescription DimID="{axis}" NumberOfElements="{count}" Origin="0" '
                    f'Length="{length * (count - 1)}" Unit="{"s" if axis == 4 else "m"}" BitInc="0" BytesInc="{step}"/>'
                )
        listed = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" '
            f'Max="1" Unit="" LUTName="Gray" IsLUTInverted="0" BytesInc="{plane * channel}" BitInc="0"/>'
            for channel in range(channels)
        )
        blocks.append(planes.transpose(0, 2, 1, 3, 4).astype("<u2").tobytes())
        children.append(
            f'<Element Name="{name}" Visibility="1"><Data><Image TextDescription=""><ImageDescription><Channels>'
            f"{listed}</Channels><Dimensions>{dims}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{len(blocks[-1])}" MemoryBlockID="MemBlock_{number}"/><Children/></Element>'
        )
    xml = (
        f'<LMSDataContainerHeader Version="2"><Element Name="{path.name}" Visibility="1"><Data><Experiment '
        f'Path="{path.name}" IsSavedFlag="1"/></Data><Memory Size="0" MemoryBlockID="MemBlock_x"/><Children>'
        f"{''.join(children)}</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    with path.open("wb") as file:
        file.write(struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml)
        for number, block in enumerate(blocks):
            name = f"MemBlock_{number}".encode("utf-16-le")
            head = struct.pack("<BQBI", 0x2A, len(block), 0x2A, len(name) // 2) + name
            file.write(struct.pack("<II", 0x70, len(head)) + head + block)
    return path


def write_oif(path: Path, planes: np.ndarray) -> Path:
    """Write an OIF: settings in UTF-16, and a folder with a TIFF per plane."""
    times, channels, slices, height, width = planes.shape
    folder = path.with_name(path.name + ".files")
    folder.mkdir()
    for t, c, z in np.ndindex(*planes.shape[:3]):
        tifffile.imwrite(folder / f"s_C{c + 1:03d}Z{z + 1:03d}T{t + 1:03d}.tif", planes[t, c, z], metadata=None)
    counts = {"X": width, "Y": height, "C": channels, "Z": slices, "T": times}
    text = '[ProfileSaveInfo]\r\nName="FluoView"\r\nVersion="2.0"\r\n[Axis Parameter Common]\r\nAxisOrder="XYCZT"\r\n'
    for number, axis in enumerate("XYCZTLPA"):
        count = counts.get(axis, 0)
        text += (
            f'[Axis {number} Parameters Common]\r\nAxisCode="{axis}"\r\nMaxSize={count}\r\nStartPosition=0\r\n'
            f'EndPosition={PIXEL_UM * count}\r\nUnitName="um"\r\n'
        )
    text += "[Reference Image Parameter]\r\nValidBitCounts=12\r\n"
    path.write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    return path


def write_stk(path: Path, planes: np.ndarray) -> Path:
    """Write a MetaMorph stack of a focus series, (Z, Y, X): one page, the other planes behind it."""
    count = len(planes)
    distances = (2, 1) * count
    tags = [(33628, 4, 2 * count, (0,) * 2 * count, True), (33629, 5, count, distances, True)]
    tifffile.imwrite(path, planes[0], photometric="minisblack", metadata=None, software="MetaMorph", extratags=tags)
    with path.open("ab") as stream:
        stream.writelines(plane.astype("<u2").tobytes() for plane in planes[1:])
    return path


def write_jpeg2000(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="jp2"))
    return path
