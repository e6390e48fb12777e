"""Lucene queries translated to bound SQL."""
