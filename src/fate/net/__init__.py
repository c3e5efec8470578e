"""Bytes in and out: readiness (`poll`), streams (`stream`, `connections`, `tls`), and packets (`packet`, `receiver`)."""
