"""Gaussian process regression over candidates: what some say of others."""
