//! The maintainer commands of this repository.

fn main() {}
