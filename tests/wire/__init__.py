"""Tests of `counterseal.wire`: what callers and servers may say, byte by byte."""
