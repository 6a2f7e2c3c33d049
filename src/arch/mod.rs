//! Architectures, one file per timm model file. An arch file computes nothing: it returns a graph.
