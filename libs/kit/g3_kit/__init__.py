"""Mechanism only: errors, settings, logs, telemetry, gRPC server and client, Celery app."""
