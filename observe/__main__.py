"""`python -m observe`: write the files that are made from the code."""

from observe import files


def main() -> None:
    """Write them all."""
    for path in files.write():
        print(path)


if __name__ == "__main__":
    main()
