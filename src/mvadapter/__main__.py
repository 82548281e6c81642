"""``python -m mvadapter`` is the ``mvadapter`` command."""

from mvadapter.cli.main import main

if __name__ == "__main__":
    main()
