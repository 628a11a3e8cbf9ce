//! The `turnpike-dataplane` command.

fn main() {}
