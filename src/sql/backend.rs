//! Three backends, one trait: what differs between the dialects.
