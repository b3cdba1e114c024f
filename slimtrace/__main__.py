"""``python -m slimtrace``: the command ``slimtrace``, of the interpreter that is named."""

from slimtrace.main import main

if __name__ == "__main__":
    main()
