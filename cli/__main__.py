"""``python -m cli`` is ``vectorline``, for places where the command itself is not installed."""

from cli import main

if __name__ == "__main__":
    main.main()
