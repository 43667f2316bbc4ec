"""The REST API: JSON in and out, RFC 9457 problems, server-sent events, OpenAPI 3.1."""
