"""`python -m ohgw`: the command line."""

from ohgw.cli import main

if __name__ == "__main__":
    main()
