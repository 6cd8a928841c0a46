"""``python -m tonggan`` is the ``tonggan`` command."""

from tonggan.cli.app import main

if __name__ == "__main__":
    main()
