//! Pixels as timm sees them: decode, Pillow-exact resize, crop, normalise.
