"""Arguments and options that several commands share, each with one meaning and one help text."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

IndexArgument: TypeAlias = Annotated[
    Path, typer.Argument(help="Index folder, created by 'mvadapter index'.")
]
QueryArgument: TypeAlias = Annotated[str, typer.Argument(help="Text that describes the moment.")]
ViewOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--adapter", help="Name of the view to search. [default: the newest]"),
]
DataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Table (CSV, JSONL, Parquet), or folder of videos with captions."),
]
VideosOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder that the table's video names are relative to.")
]
BackboneOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="CLIP: a folder, a hub id, or 'tiny'. [default: the one that the recipe, adapter or "
        "index names, or 'tiny']"
    ),
]
OutputFolderOption: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", help="Output folder; run again to resume.")
]
PrecisionOption: TypeAlias = Annotated[
    Literal["auto", "float32", "bfloat16"], typer.Option(help="Numeric precision.")
]
DeviceOption: TypeAlias = Annotated[str, typer.Option(help="Torch device, such as cpu or cuda.")]
IsolateOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--isolate",
        help="Decode videos in processes with limits of memory and time, for videos from people "
        "you do not know.",
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
OverwriteOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace an output that mvadapter did not write, or an adapter without its run.",
    ),
]
