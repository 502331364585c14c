"""Holds vision feature paths of inference engines against a specification. Start with interface.py."""

__version__ = "0.1.0"
