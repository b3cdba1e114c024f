"""Finds the files that kept files need: one module for each rule, and the fixpoint over them."""
