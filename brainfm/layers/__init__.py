"""Blocks that tokenizers, backbones and heads are made of."""
