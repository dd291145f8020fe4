"""The version: this line is the one place that the package and its build read it from, and equals package.json's."""

__version__ = "0.1.0"
