"""The ``mvadapter`` command, also as ``python -m mvadapter``."""

from mvadapter.cli.stopping import catch_signals, ignore_signals


def main() -> None:
    """Run the command line and exit with its code."""
    # First of all: what follows takes a while to import, and Ctrl-C may come at any time.
    catch_signals()

    from mvadapter.cli.main import main as run  # noqa: PLC0415

    try:
        run()
    finally:
        ignore_signals()


if __name__ == "__main__":
    main()
