//! Labelled images: layouts, ids, order, subsets.
