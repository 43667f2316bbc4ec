"""Similarity of candidate coordinates to a photo over gRPC."""
