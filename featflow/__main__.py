"""``python -m featflow`` is the command line."""

from featflow.cli.main import main

if __name__ == "__main__":
    main()
