"""Entry point of `python -m entropic`."""

from entropic.commands.main import main

if __name__ == "__main__":
    main()
