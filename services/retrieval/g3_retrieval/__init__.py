"""Similar and dissimilar references over gRPC."""
