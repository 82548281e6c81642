"""What is wrong with a table: an error that also holds the fault without the advice."""

from mvadapter.errors import IndexFolderError

EMBED_AGAIN = "run 'mvadapter index' with this index to embed again what is missing"


class DamagedTableError(IndexFolderError):
    """A table whose files are missing, cut or changed; embedding its videos again repairs it.

    It is raised only for what was seen on the disk: a repair replaces the table.
    """

    def __init__(self, problem: str, advice: str = EMBED_AGAIN) -> None:
        super().__init__(f"{problem}; {advice}")
        self.problem = problem
        """Where the damage is and what it is."""
