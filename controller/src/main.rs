//! The controller program.
fn main() {}
