"""`python -m resitile.cli`: the same as the command `resitile`."""

from resitile.cli import main

if __name__ == "__main__":
    main()
