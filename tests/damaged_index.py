"""Ways to damage an index, and what is left of it."""

import json
import os
from dataclasses import replace

from lancedb.db import LanceDBConnection

from mvadapter.index.rows import table_schema
from mvadapter.index.segment_table import SegmentTable
from mvadapter.index.totals import read_totals, write_totals
from mvadapter.index.video_index import VideoIndex


def held(index):
    segments = VideoIndex.open(index.folder, backbone=index.backbone).view().segments
    return segments.paths, segments.vectors.copy()


def largest(index, pattern):
    return max(index.folder.rglob(pattern), key=lambda path: path.stat().st_size)


def cut_short(path):
    os.truncate(path, 100)


def lose_rows(index, video):
    """As a list of deletions would that came from elsewhere."""
    table = LanceDBConnection(index.folder / "vectors").open_table("frozen")
    version = table.version
    table.delete(f"path = '{video}'")
    vectors = index.folder / "vectors"
    known = read_totals(vectors, "frozen")
    assert known.version == version
    write_totals(vectors, "frozen", replace(known, version=table.version, lists_sha256={}))


def make_early(index):
    """Turn an index into one of an earlier version."""
    rows = SegmentTable(index.folder / "vectors", "frozen").read().rows
    early = table_schema(index.backbone.dim, is_early=True)
    database = LanceDBConnection(index.folder / "vectors")
    database.drop_table("frozen")
    database.create_table("frozen", rows.select(early.names), schema=early)
    (index.folder / "vectors/frozen.totals.json").unlink()
    record = json.loads((index.folder / "index.json").read_text())
    for key in ("sha256", "views", "backbone_parts"):
        del record[key]
    (index.folder / "index.json").write_text(json.dumps(record | {"format": 1}))
