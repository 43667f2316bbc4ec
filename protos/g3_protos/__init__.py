"""The gRPC contracts of G3 and their committed stubs."""
