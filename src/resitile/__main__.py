"""`python -m resitile`: the command line."""

from resitile.cli import main

if __name__ == "__main__":
    main()
