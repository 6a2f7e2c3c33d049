//! Checkpoints: read, inspect, scan, convert, without ever running pickle code.
