//! Rendering of the statement tree by Diesel.
