"""A package, for pytest would otherwise take chaos.py for the folder."""
