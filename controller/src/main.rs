//! The binary `turnpike-controller`.

fn main() {}
