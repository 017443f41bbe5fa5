"""``python -m featflow`` is the command line."""

from featflow.cli import main

if __name__ == "__main__":
    main()
