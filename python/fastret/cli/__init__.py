"""The command line: `fastret demo | evaluate | embed | search | info`, one file per command."""
