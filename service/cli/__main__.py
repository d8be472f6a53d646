"""`python -m service.cli` is the command `outfielder`."""

from service.cli import main

if __name__ == "__main__":
    main()
