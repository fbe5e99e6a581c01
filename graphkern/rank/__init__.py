"""Ranking: baselines, metrics and evaluation."""
