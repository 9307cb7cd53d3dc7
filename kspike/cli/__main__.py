"""Runs the command where no script of that name is installed: python -m kspike.cli."""

from kspike.cli import main

if __name__ == "__main__":
    main()
