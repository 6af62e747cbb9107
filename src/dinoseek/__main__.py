"""`python -m dinoseek` is the `dinoseek` program."""

from dinoseek.cli.main import main

if __name__ == "__main__":
    main()
