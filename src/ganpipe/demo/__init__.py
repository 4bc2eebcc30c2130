"""The web page on which a person draws, explores and inspects what was learned: `ganpipe serve`."""
