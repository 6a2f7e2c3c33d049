//! From a name to a network ready to run, with its preprocessing.
