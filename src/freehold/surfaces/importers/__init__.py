"""Importers: what other products give out, read as it is and written as what it means here.

One module per product and piece. An importer may use domain packages; nothing but the command line uses importers.
"""
