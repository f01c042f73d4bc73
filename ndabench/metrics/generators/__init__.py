"""Measures of generators (Fréchet distance, KID, Inception Score) and the extractors that they use."""
