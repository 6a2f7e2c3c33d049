//! Where files are: sources, hashes, the cache.
