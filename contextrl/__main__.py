"""`python -m contextrl`: the `contextrl` command where only the package is at hand."""

from contextrl.cli import main

if __name__ == "__main__":
    main()
