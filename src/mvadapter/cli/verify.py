"""``mvadapter verify``: an index in, what of it is damaged out."""

import typer

from mvadapter.cli import console
from mvadapter.cli.options import IndexArgument, JsonOption
from mvadapter.index.counting import counted


def verify(index: IndexArgument, as_json: JsonOption = False) -> None:
    """Check an index for damage; 'mvadapter index' embeds damaged videos again."""
    from mvadapter.index.find import absolute
    from mvadapter.index.verify import verify_index

    report = verify_index(absolute(index))
    if as_json:
        console.print_json(report.to_dict())
    else:
        for kind, problems in (("damaged", report.damaged), ("unverified", report.unverified)):
            for problem in problems:
                console.inform(f"{kind} {console.show_path(problem.path)}: {problem.reason}")
        console.inform(
            f"{console.show_path(index)}: {counted(report.num_files, 'file')} and "
            f"{counted(report.num_segments, 'segment')} checked, "
            f"{len(report.damaged) or 'nothing'} damaged"
        )
    if not report.is_sound:
        raise typer.Exit(1)
