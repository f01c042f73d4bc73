"""`python -m ndabench`, the same as the console script `ndabench`."""

from ndabench.cli import main

if __name__ == "__main__":
    main()
