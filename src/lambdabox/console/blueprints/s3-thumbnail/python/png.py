"""Read, shrink and write PNG images with the standard library alone.

Takes what cameras, browsers and screenshots write: 8 bits a channel, grey or colours, with
or without transparency, not interlaced. For anything else there is Pillow, as a layer.
"""

import struct
import zlib
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # colour type to bytes of a pixel


@dataclass
class Image:
    width: int
    height: int
    colour: int
    rows: list  # of bytes

    @property
    def channels(self):
        return CHANNELS[self.colour]


def read(data):
    if not data.startswith(SIGNATURE):
        raise ValueError("this is no PNG")
    header, packed, at = None, b"", len(SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = header
    if depth != 8 or colour not in CHANNELS or interlaced:
        raise ValueError(f"PNGs of {depth} bits and colour type {colour} are not read here")
    return Image(width, height, colour, unfilter(zlib.decompress(packed), width, height, colour))


def unfilter(raw, width, height, colour):
    step = CHANNELS[colour]
    size = width * step
    rows, above = [], bytes(size)
    for y in range(height):
        start = y * (size + 1)
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + size])
        for x in range(size if kind else 0):
            left = row[x - step] if x >= step else 0
            corner = above[x - step] if x >= step else 0
            row[x] = (row[x] + guess(kind, left, above[x], corner)) & 255
        rows.append(bytes(row))
        above = row
    return rows


def guess(kind, left, up, corner):
    if kind == 1:
        return left
    if kind == 2:
        return up
    if kind == 3:
        return (left + up) // 2
    estimate = left + up - corner
    distances = abs(estimate - left), abs(estimate - up), abs(estimate - corner)
    return (left, up, corner)[distances.index(min(distances))]


def shrink(image, width):
    """Return an image of at most `width`, each pixel the mean of those that it stands for."""
    if width >= image.width:
        return image
    height = max(1, image.height * width // image.width)
    step = image.channels
    rows = []
    for y in range(height):
        top, bottom = y * image.height // height, max((y + 1) * image.height // height, 1)
        band = image.rows[top : max(bottom, top + 1)]
        row = bytearray()
        for x in range(width):
            left, right = x * image.width // width, (x + 1) * image.width // width
            for channel in range(step):
                values = [
                    value
                    for line in band
                    for value in line[left * step + channel : max(right, left + 1) * step : step]
                ]
                row.append(sum(values) // len(values))
        rows.append(bytes(row))
    return Image(width, height, image.colour, rows)


def write(image):
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, image.colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in image.rows))
    chunks = (b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
