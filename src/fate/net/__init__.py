"""Bytes in and out: readiness (`poll`), streams (`stream`, `connections`, `tls`), packets (`packet`, `receiver`)."""
