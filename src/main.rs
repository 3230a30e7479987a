//! The binary: hands the command line over to [`scimshim::cli`].

fn main() {}
